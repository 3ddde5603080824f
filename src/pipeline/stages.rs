//! One stage alone, on numbers that need no run before it: what `cargo xtask bench stages`
//! measures, here and in a browser.

use burn::prelude::*;

use super::{Pipeline, unknown_stage};
use crate::components::ComponentConfigs;
#[cfg(feature = "gpu")]
use crate::device::watch::{Usage, Watch};
use crate::error::{Error, Result};
use crate::tensor::HostTensor;

/// The timestep of the U-Net's call.
const TIMESTEP: f64 = 500.0;

/// What goes into a stage.
#[derive(Clone, Debug)]
pub struct Input {
    /// Ids `[1, T]`, noisy latents `[B, C, h, w]` or latents `[B, C, h, w]`.
    pub sample: HostTensor,
    /// Embeddings `[B, T, E]`, for the U-Net.
    pub text: HostTensor,
}

/// `count` numbers between -1.7 and 1.7, of variance near 1, the same in every language: a
/// multiplicative hash of the index (Knuth, TAOCP 3, 6.4) as a fraction.
pub fn numbers(count: usize) -> Vec<f32> {
    let hash = |i: usize| (i as u32).wrapping_mul(2_654_435_761);
    let fraction = |i| f64::from(hash(i)) / 4_294_967_296.0;
    (0..count)
        .map(|i| ((fraction(i) * 2.0 - 1.0) * 1.7) as f32)
        .collect()
}

/// An input for `stage` at this size of so many images.
///
/// # Errors
/// [`Error::Request`] for a name that is none of [`STAGES`].
pub fn input(configs: &ComponentConfigs, stage: &str, side: usize, images: usize) -> Result<Input> {
    let (c, text) = (configs.vae.latent_channels(), &configs.text_encoder);
    let tokens = text.max_position_embeddings;
    let latents = side / configs.vae.downscale();
    let weight = |shape: Vec<usize>| HostTensor {
        data: numbers(shape.iter().product()),
        shape,
    };
    let nothing = weight(vec![0]);
    Ok(match stage {
        "text_encoder" => Input {
            sample: HostTensor {
                shape: vec![1, tokens],
                data: (0..tokens)
                    .map(|i| (i * 7 % text.vocab_size) as f32)
                    .collect(),
            },
            text: nothing,
        },
        "unet" => Input {
            sample: weight(vec![images, c, latents, latents]),
            text: weight(vec![images, tokens, text.hidden_size]),
        },
        "decoder" => Input {
            sample: weight(vec![images, c, latents, latents]),
            text: nothing,
        },
        _ => return Err(unknown_stage(stage)),
    })
}

impl Pipeline {
    /// Runs one stage and brings its output back from the device.
    ///
    /// # Errors
    /// [`Error::Request`] for an unknown stage or sizes that do not fit; [`Error::Device`] if the
    /// device fails.
    pub async fn stage(&self, stage: &str, input: &Input) -> Result<HostTensor> {
        let Input { sample, text } = input;
        let wrong = || {
            Error::request(
                "stage",
                format!(
                    "{stage} cannot take {:?} and {:?}",
                    sample.shape, text.shape
                ),
            )
        };
        let latents = || -> Result<Tensor<4>> {
            let shape: [usize; 4] = sample.shape[..].try_into().map_err(|_| wrong())?;
            Ok(self.tensor(sample.data.clone(), shape))
        };
        match stage {
            "text_encoder" => {
                let ids: Vec<u32> = sample.data.iter().map(|id| *id as u32).collect();
                HostTensor::read(self.embed(&ids)).await
            }
            "unet" => {
                let shape: [usize; 3] = text.shape[..].try_into().map_err(|_| wrong())?;
                let text: Tensor<3> = self.tensor(text.data.clone(), shape);
                let sample = latents()?;
                let times = vec![TIMESTEP as f32; sample.dims()[0]];
                let times = Tensor::<1>::from_floats(times.as_slice(), &self.device);
                HostTensor::read(self.networks.unet.forward(sample, times, &text.into())).await
            }
            "decoder" => HostTensor::read(self.networks.vae.decode(latents()?)).await,
            _ => Err(wrong()),
        }
    }
}

#[cfg(feature = "gpu")]
impl Pipeline {
    /// Runs one stage, or only compiles it, and sees what it asks of the GPU, whose memory has the
    /// model's weights too. The output of a `dry_run` means nothing.
    ///
    /// # Errors
    /// As [`Self::stage`].
    pub async fn watched(
        &self,
        stage: &str,
        input: &Input,
        dry_run: bool,
    ) -> Result<(HostTensor, Usage)> {
        let watch = Watch::new(&self.device, dry_run);
        let output = self.stage(stage, input).await?;
        Ok((output, watch.usage()))
    }

    /// What the GPU's memory has now.
    pub fn usage(&self) -> Usage {
        Watch::new(&self.device, false).usage()
    }
}

/// Writes a bundle of these configs with random weights, sized so that activations stay near one.
///
/// # Errors
/// As [`super::PipelineBuilder::new`] and [`crate::bundle::BundleWriter`].
#[cfg(all(feature = "cpu", not(target_family = "wasm")))]
pub fn write_random(
    configs: &ComponentConfigs,
    tokenizer: &crate::tokens::ClipTokenizer,
    side: usize,
    dir: &std::path::Path,
) -> Result<()> {
    use crate::bundle::{BundleInfo, BundleWriter, Defaults, Precision};
    use crate::latents::noise::gaussian;
    let device = Device::flex(); // nothing is computed on it
    let builder = super::PipelineBuilder::new(configs.clone(), tokenizer.clone(), &device)?;
    let mut writer = BundleWriter::new(dir, Precision::F32)?;
    for (seed, (name, shape)) in builder.expected().into_iter().enumerate() {
        let count = shape.iter().product();
        let columns: usize = shape.iter().skip(1).product();
        let one = f32::from(shape.len() == 1 && name.ends_with("weight")); // of a normalisation
        let scale = match shape.len() {
            1 => 0.2,
            _ => (columns as f32).sqrt().recip(),
        };
        let noise = gaussian(seed as u64, count);
        let data = noise.iter().map(|x| one + x * scale).collect();
        writer.add(&name, &HostTensor { shape, data })?;
    }
    let info = BundleInfo {
        name: "random weights".into(),
        model_card: None,
        license: "MIT OR Apache-2.0".into(),
        attribution: String::new(),
        intended_use: "Measuring time".into(),
        components: configs.clone(),
        defaults: Defaults {
            num_inference_steps: 1,
            guidance_scale: 1.0,
            width: side,
            height: side,
            scheduler: None,
        },
        examples: vec![],
    };
    writer.finish(info, tokenizer)?;
    Ok(())
}
