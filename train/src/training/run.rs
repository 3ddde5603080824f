//! A training run as data: one TOML file names the networks, the schedules and the sizes.

use std::path::{Path, PathBuf};

use roentgen_web::embeddings::CLIPTextConfig;
use roentgen_web::error::{Error, Result};
use roentgen_web::image::AutoencoderConfig;
use roentgen_web::latents::UNet2DConditionConfig;
use roentgen_web::latents::scheduler::SchedulerConfig;
use roentgen_web::limits;
use serde::{Deserialize, Serialize};

pub use super::optimization::{LrScheduler, MixedPrecision, Optimization};
use super::timesteps::TimestepsRun;

/// `run.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Name of the model, as the bundle will carry it.
    pub name: String,
    /// Seed of every random choice in the run.
    pub seed: u64,
    /// Height and width of the images, in pixels.
    pub size: u32,
    /// Entries of the tokenizer's vocabulary.
    pub vocab_size: usize,
    /// A bundle or a diffusers checkpoint to start from: every tensor whose name and shape agree,
    /// and its tokenizer.
    #[serde(default)]
    pub init: Option<PathBuf>,
    /// Which of the data to learn from.
    #[serde(default)]
    pub data: DataRun,
    /// The autoencoder and its training.
    pub vae: VaeRun,
    /// The text encoder's own training, before the U-Net's; left out, it learns with the U-Net
    /// alone.
    #[serde(default)]
    pub text: Option<TextRun>,
    /// Text encoder, U-Net and their training.
    pub diffusion: DiffusionRun,
}

/// The `[data]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataRun {
    /// Sub-folders of `--data` to read; all that are sources if left out. A folder with a
    /// `metadata.csv` is one source.
    pub sources: Option<Vec<String>>,
    /// Whether text encoder and U-Net see the mirror image too of every image with boxes, called
    /// mirrored.
    pub mirrored: bool,
    /// Whether sides are read off images whose findings have no boxes: see [`crate::data::sides`].
    pub pseudo_sides: bool,
}

impl Default for DataRun {
    fn default() -> Self {
        Self {
            sources: None,
            mirrored: true,
            pseudo_sides: true,
        }
    }
}

/// The `[vae]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaeRun {
    /// Height and width of the random crops that the autoencoder learns from, in pixels.
    pub crop: usize,
    /// Weight of the mean KL divergence against the mean absolute error; 0 for `AutoencoderDC`,
    /// which has none.
    #[serde(default)]
    pub kl_weight: f64,
    /// Weight of the mean absolute error of horizontal and vertical differences, which keeps edges
    /// sharp.
    pub edge_weight: f64,
    /// Most noise on the latents, in standard deviations of each channel: the decoder learns to
    /// bear a U-Net's errors.
    #[serde(default)]
    pub latent_noise: f64,
    /// Steps, rates, sizes.
    pub optimization: Optimization,
    /// diffusers' config of the network, of the class that its `_class_name` names. With an
    /// `encoder_sample_size`, which must be half of `sample_size`, images stored with half the
    /// pixels are learned from too, and losses are taken at both sizes.
    pub model: AutoencoderConfig,
    /// The decoder's second training, against a discriminator.
    #[serde(default)]
    pub adversarial: Option<AdversarialRun>,
}

/// The `[vae.adversarial]` table. Images are those of the full size alone, crops those of `[vae]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdversarialRun {
    /// Weight of the mean absolute error at the full size, which blurs.
    pub pixel_weight: f64,
    /// Weight of the mean absolute error of what a Gaussian leaves, which keeps content and
    /// brightness.
    pub coarse_weight: f64,
    /// Weight of the discriminator's judgement.
    pub adversarial_weight: f64,
    /// Steps over which that weight rises from 0.
    pub ramp_steps: usize,
    /// Steps of the discriminator before the decoder's first.
    pub head_start: usize,
    /// The discriminator's peak learning rate.
    pub discriminator_learning_rate: f64,
    /// Weight of the squared change of its judgement under noise.
    pub penalty_weight: f64,
    /// Standard deviation of that noise, in those of what the L1 decoder misses.
    pub penalty_noise: f64,
    /// Steps, rates, sizes of the decoder's training; all but the rate hold for the discriminator
    /// too.
    pub optimization: Optimization,
}

/// The `[text]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextRun {
    /// Steps, rates, sizes; a batch is of prompts.
    pub optimization: Optimization,
}

/// The `[diffusion]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffusionRun {
    /// Share of captions that are replaced by the empty one, so that guidance has something to push
    /// away from.
    pub caption_dropout: f64,
    /// Clamp of the signal-to-noise ratio in the loss's weights (Hang et al. 2023, "Min-SNR"; 5 in
    /// the paper): less work on the faint noise of the last steps, more on what is in the image.
    /// None weighs every timestep alike.
    #[serde(default)]
    pub min_snr_gamma: Option<f64>,
    /// How timesteps are drawn; all alike if left out.
    #[serde(default)]
    pub timesteps: Option<TimestepsRun>,
    /// Further copies of each image to learn from, shifted and turned a little.
    #[serde(default)]
    pub moved: usize,
    /// Steps, rates, sizes.
    pub optimization: Optimization,
    /// transformers' config of the text encoder; `vocab_size` is set from the tokenizer.
    pub text_encoder: CLIPTextConfig,
    /// diffusers' config of the U-Net.
    pub unet: UNet2DConditionConfig,
    /// diffusers' config of the noise schedule.
    pub scheduler: SchedulerConfig,
}

impl VaeRun {
    /// Whether the encoder sees half of the images' detail.
    pub fn sees_half(&self) -> bool {
        self.model.encoder_size().encoder_sample_size.is_some()
    }

    /// What is wrong for images of `size` pixels, if anything.
    fn fault(&self, size: usize) -> Option<String> {
        if !self.latent_noise.is_finite() || self.latent_noise < 0.0 {
            return Some("latent_noise must be at least 0".into());
        }
        if let Some(a) = &self.adversarial
            && !a
                .head_start
                .is_multiple_of(a.optimization.checkpoint_every.max(1))
        {
            return Some("adversarial.head_start must be a multiple of its checkpoint_every, so that both networks are saved at the same steps".into());
        }
        if self.adversarial.is_some() && self.crop < 32 {
            return Some("crop must be at least 32 for a discriminator".into());
        }
        if self.kl_weight > 0.0 && matches!(self.model, AutoencoderConfig::DC(_)) {
            return Some(
                "kl_weight must be 0: the latents of AutoencoderDC have no variance".into(),
            );
        }
        let sizes = self.model.encoder_size();
        let shown = sizes.encoder_sample_size?;
        if sizes.sample_size != Some(size) || 2 * shown != size {
            return Some(format!(
                "with an encoder_sample_size, sample_size must be the run's size {size}, and encoder_sample_size half of it"
            ));
        }
        let odd = !self.crop.is_multiple_of(4) || self.crop < 16;
        odd.then(|| {
            "crop must be a multiple of 4 and at least 16 where the encoder sees half of it".into()
        })
    }
}

impl Run {
    /// Reads `run.toml`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Config`] naming the line that is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let fault = |why: String| Error::config(path.display().to_string(), why);
        let text = limits::read_text(path, limits::RUN_BYTES)?;
        let run: Self = toml::from_str(&text).map_err(|error| fault(error.to_string()))?;
        let downscale = run.vae.model.downscale();
        if !(run.size as usize).is_multiple_of(downscale) || !run.vae.crop.is_multiple_of(downscale)
        {
            return Err(fault(format!(
                "size and crop must be multiples of {downscale}"
            )));
        }
        if run.vae.crop > run.size as usize || run.vae.crop == 0 {
            return Err(fault("crop must be between 1 and size".into()));
        }
        run.vae
            .fault(run.size as usize)
            .map_or(Ok(()), |why| Err(fault(format!("[vae] {why}"))))?;
        let timesteps = run.diffusion.timesteps.and_then(|t| t.fault());
        timesteps.map_or(Ok(()), |why| {
            Err(fault(format!("[diffusion.timesteps] {why}")))
        })?;
        let text = run.text.iter().map(|text| ("text", &text.optimization));
        let trainings = [
            ("vae", &run.vae.optimization),
            ("diffusion", &run.diffusion.optimization),
        ];
        let adversarial = run.vae.adversarial.iter();
        let adversarial = adversarial.map(|a| ("vae.adversarial", &a.optimization));
        for (name, optimization) in trainings.into_iter().chain(text).chain(adversarial) {
            if let Some(why) = optimization.fault() {
                return Err(fault(format!("[{name}.optimization] {why}")));
            }
        }
        Ok(run)
    }
}

/// Whether the description of a run at `path` has the table `name`, which tells the kinds of runs
/// from each other.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Config`] if it is no TOML.
pub fn has_table(path: &Path, name: &str) -> Result<bool> {
    let text = limits::read_text(path, limits::RUN_BYTES)?;
    let table: toml::Table = toml::from_str(&text)
        .map_err(|error| Error::config(path.display().to_string(), error.to_string()))?;
    Ok(table.contains_key(name))
}

/// Where a run keeps its files.
#[derive(Clone, Debug)]
pub struct RunFolder(pub PathBuf);

impl RunFolder {
    /// A path inside the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Creates the folder and the ones that it needs.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(&self) -> Result<()> {
        let sheets = self.path("sheets");
        std::fs::create_dir_all(&sheets).map_err(|source| Error::Io {
            path: sheets.display().to_string(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_training_is_checked_like_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.toml");
        let run = include_str!("../../tests/tiny.toml");
        let mut run: toml::Table = toml::from_str(run).unwrap();
        let mut text = run["diffusion"]["optimization"].clone();
        text["batch_size"] = 0.into();
        let text = toml::Table::from_iter([("optimization".to_string(), text)]);
        run.insert("text".into(), text.into());
        std::fs::write(&path, run.to_string()).unwrap();
        let error = Run::read(&path).unwrap_err().to_string();
        assert!(error.contains("[text.optimization]"), "{error}");
    }
}
