//! The parts of a model and what fits them: what checkpoints, bundles and the pipeline share.

use serde::{Deserialize, Serialize};

use crate::embeddings::CLIPTextConfig;
use crate::image::AutoencoderConfig;
use crate::latents::UNet2DConditionConfig;
use crate::latents::scheduler::SchedulerConfig;
use crate::reader::ReaderConfig;

/// Longest side of an image, in pixels. Attention over the latents grows with its fourth power.
pub const MOST_SIDE: usize = 2048;

/// The configs of a model's parts: diffusers', each with the keys of its own `config.json`, and the
/// reader's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentConfigs {
    /// transformers' `CLIPTextConfig`.
    pub text_encoder: CLIPTextConfig,
    /// diffusers' `UNet2DConditionModel`.
    pub unet: UNet2DConditionConfig,
    /// diffusers' `AutoencoderKL` or `AutoencoderDC`.
    pub vae: AutoencoderConfig,
    /// diffusers' `scheduler_config.json`.
    pub scheduler: SchedulerConfig,
    /// What judges the model's images; diffusers has no such part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<ReaderConfig>,
}
