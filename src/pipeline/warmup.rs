//! Pipelines that are compiled while the weights which they will read are still on their way.

use std::collections::BTreeMap;

use burn::prelude::*;
use cubecl::dry_run::DryRun;

use super::{Networks, Pipeline, PipelineBuilder, unknown_stage};
use crate::bundle::{Defaults, TensorEntry};
use crate::embeddings::Embeddings;
use crate::error::Result;
use crate::latents::Latents;
use crate::weights;

impl PipelineBuilder {
    /// Has the GPU compile all that one of [`super::STAGES`] takes for an image at these settings,
    /// and computes nothing: shapes and formats are enough for that, so that no weight need be
    /// here. A browser compiles in another process and is not waited for; what CubeCL makes of the
    /// kernels before takes this thread, up to seconds (cubecl-opt 0.11.3 compares each operation
    /// of an unrolled kernel with all before it, `scoped_map.rs:31`).
    ///
    /// # Errors
    /// [`crate::Error::Request`] for an unknown stage.
    pub fn warm_up(
        &self,
        stage: &str,
        tensors: &BTreeMap<String, TensorEntry>,
        defaults: &Defaults,
    ) -> Result<()> {
        // Of the whole program, so that nothing else may be awaited, or be launched, while it
        // lives.
        let dry_run = DryRun::new();
        let networks = Networks::new(&self.configs, &self.device)?;
        let pipeline = Pipeline {
            networks: weights::absent(networks, tensors),
            configs: self.configs.clone(),
            tokenizer: self.tokenizer.clone(),
            device: self.device.clone(),
            precision: self.precision,
        };
        let done = pipeline.warm_up(stage, defaults);
        drop(pipeline);
        drop(dry_run);
        self.device.memory_cleanup(); // of what was only counted
        done
    }
}

impl Pipeline {
    /// The operations of [`Self::generate`], in its words; what comes of them means nothing.
    fn warm_up(&self, stage: &str, defaults: &Defaults) -> Result<()> {
        let guided = defaults.guidance_scale > 1.0;
        let rows = if guided { 2 } else { 1 };
        let vae = &self.configs.vae;
        let side = |pixels| pixels / vae.downscale();
        let (h, w) = (side(defaults.height), side(defaults.width));
        let shape = [1, vae.latent_channels(), h, w];
        let latents = Latents {
            shape,
            data: vec![0.0; shape.iter().product()],
        };
        match stage {
            "text_encoder" => {
                let tokens = self.tokenizer.encode("")?;
                let embeddings = self.embed(&tokens.ids);
                // a copy in order, as reading them back takes
                embeddings.clone().flatten::<1>(0, 2);
                Tensor::cat(vec![embeddings; rows], 0);
            }
            "unet" => {
                let text = &self.configs.text_encoder;
                let sizes = [rows, self.tokenizer.model_max_length(), text.hidden_size];
                let text = Tensor::<3>::empty(sizes, &self.device).cast(self.precision.dtype());
                let text = Embeddings::from(text);
                self.denoiser(1.0).predict(&latents, 0.0, &text);
            }
            "decoder" => {
                self.decode(&latents);
            }
            _ => return Err(unknown_stage(stage)),
        }
        Ok(())
    }
}
