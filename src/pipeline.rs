//! Text -> Image: the only file that knows every stage (diffusers: `StableDiffusionPipeline`).

#[cfg(feature = "gpu")]
mod rehearsal;
mod request;
#[doc(hidden)]
pub mod stages;

pub use request::{Generated, MOST_SIDE, Request, Step};

use std::collections::BTreeMap;

use burn::prelude::*;
use serde::{Deserialize, Serialize};

use crate::device::Precision;
use crate::embeddings::{CLIPTextConfig, CLIPTextModel};
use crate::error::{Error, Result};
use crate::image::{Autoencoder, AutoencoderConfig};
use crate::latents::noise::gaussian;
use crate::latents::scheduler::{Scheduler, SchedulerConfig};
use crate::latents::{UNet2DConditionConfig, UNet2DConditionModel};
use crate::nn::text::Text;
use crate::source::Source;
use crate::tokens::{ClipTokenizer, PartTokens};
use crate::weights::{self, Stored, Weight, WeightLoader};

/// diffusers' configs of a model's parts, each with the keys of its own `config.json`.
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
}

/// The three networks. Field names are the components' names in the keys of [`weights::Weights`].
#[derive(Module, Debug)]
struct Networks {
    text_encoder: CLIPTextModel,
    unet: UNet2DConditionModel,
    vae: Autoencoder,
}

/// A pipeline whose weights arrive one part after another.
pub struct PipelineBuilder {
    networks: Networks,
    loader: WeightLoader,
    configs: ComponentConfigs,
    tokenizer: ClipTokenizer,
    device: Device,
    precision: Precision,
}

/// Text encoder, U-Net, autoencoder, tokenizer and scheduler of one model on one device.
#[derive(Clone, Debug)]
pub struct Pipeline {
    networks: Networks,
    configs: ComponentConfigs,
    tokenizer: ClipTokenizer,
    device: Device,
    precision: Precision,
}

impl Networks {
    /// Without weights.
    fn new(configs: &ComponentConfigs, device: &Device) -> Result<Self> {
        Ok(Self {
            text_encoder: configs.text_encoder.init(device)?,
            unet: configs.unet.init(device)?,
            vae: configs.vae.init(device)?,
        })
    }
}

impl PipelineBuilder {
    /// Networks as the configs describe them, still without weights.
    ///
    /// # Errors
    /// [`Error::Config`] if a config is inconsistent, not supported, or does not fit the others.
    pub fn new(
        configs: ComponentConfigs,
        tokenizer: ClipTokenizer,
        device: &Device,
    ) -> Result<Self> {
        Scheduler::check(&configs.scheduler)?;
        let c = configs.vae.latent_channels();
        if configs.unet.in_channels != c || configs.unet.out_channels != c {
            return Err(Error::Config {
                what: "unet/config.json".into(),
                why: format!(
                    "in_channels {} and out_channels {} differ from the autoencoder's latent_channels {c}",
                    configs.unet.in_channels, configs.unet.out_channels
                ),
            });
        }
        if tokenizer.vocab_size() > configs.text_encoder.vocab_size
            || tokenizer.model_max_length() > configs.text_encoder.max_position_embeddings
        {
            return Err(Error::Config {
                what: "text_encoder/config.json".into(),
                why: format!(
                    "its {} tokens and {} positions are too few for the tokenizer's {} and {}",
                    configs.text_encoder.vocab_size,
                    configs.text_encoder.max_position_embeddings,
                    tokenizer.vocab_size(),
                    tokenizer.model_max_length()
                ),
            });
        }
        let networks = Networks::new(&configs, device)?;
        Ok(Self {
            loader: WeightLoader::new(&networks),
            networks,
            configs,
            tokenizer,
            device: device.clone(),
            precision: Precision::F32,
        })
    }

    /// What the U-Net and the autoencoder shall compute in; f32 where nobody says otherwise. The text encoder stays in f32: it runs once.
    pub fn in_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Name and shape of every weight that the configs ask for.
    pub fn expected(&self) -> BTreeMap<String, Vec<usize>> {
        weights::expected(&self.networks)
    }

    /// Puts a part of the weights in place.
    ///
    /// # Errors
    /// As [`WeightLoader::apply`]; the builder is of no use after one.
    pub fn apply<W: Into<Stored>>(mut self, weights: BTreeMap<String, W>) -> Result<Self> {
        self.networks = self.loader.apply(self.networks, weights)?;
        Ok(self)
    }

    /// # Errors
    /// [`Error::MissingTensor`] if a weight never came.
    pub fn finish(self) -> Result<Pipeline> {
        self.loader.finish()?;
        Ok(Pipeline {
            networks: self.networks,
            configs: self.configs,
            tokenizer: self.tokenizer,
            device: self.device,
            precision: self.precision,
        })
    }
}

impl Pipeline {
    /// The configs that the pipeline was built from.
    pub fn configs(&self) -> &ComponentConfigs {
        &self.configs
    }

    /// Denoises the seed's latents towards the prompt and decodes them. `on_step` runs after every step; an error from
    /// it ([`Error::Cancelled`], say) ends the run.
    ///
    /// Where f16 gives no image, all of it is drawn once more in f32, from the same noise and with its steps counted from 1 again, and
    /// [`Generated::repeated`] says why. On some adapters a number that f16 has not becomes its largest, 65504, and goes unseen.
    ///
    /// # Errors
    /// [`Error::Request`] naming the setting that is wrong; [`Error::Output`] if the latents are not finite;
    /// [`Error::Device`] if the device fails.
    pub async fn generate(
        &self,
        request: &Request,
        mut on_step: impl AsyncFnMut(Step<'_>) -> Result<()>,
    ) -> Result<Generated> {
        let drawn = self.draw(request, &mut on_step).await;
        if self.precision == Precision::F32 {
            return drawn;
        }
        let why = match drawn.and_then(Generated::check) {
            Err(Error::Output(why)) => why,
            drawn => return drawn,
        };
        let again = Pipeline {
            precision: Precision::F32,
            ..self.clone()
        };
        let drawn = again.draw(request, &mut on_step).await?;
        Ok(Generated {
            repeated: Some(why),
            ..drawn
        })
    }

    /// [`Self::generate`], once.
    async fn draw(
        &self,
        request: &Request,
        mut on_step: impl AsyncFnMut(Step<'_>) -> Result<()>,
    ) -> Result<Generated> {
        let shape = request.latents_shape(&self.configs.vae)?;
        let mut scheduler = Scheduler::new(&self.configs.scheduler, request.scheduler)?;
        scheduler.set_seed(request.seed);
        scheduler.set_timesteps(request.num_inference_steps)?;

        // 1. text: negative first, as diffusers stacks them
        let tokens = self.tokenizer.encode(&request.prompt)?;
        let truncated = tokens.truncated;
        let prompt_embeds = self.embed(&tokens.ids);
        let guided = request.guidance_scale > 1.0;
        let context = if guided {
            let negative = self.tokenizer.encode(&request.negative_prompt)?;
            Tensor::cat(vec![self.embed(&negative.ids), prompt_embeds.clone()], 0)
        } else {
            prompt_embeds.clone()
        };
        let context = context.cast(self.precision.dtype());
        let text = match request.words {
            true => Text::recorded(context, [shape[2], shape[3]]),
            false => Text::new(context),
        };

        // 2. noise, and the picture below it
        let timesteps = scheduler.timesteps().to_vec();
        let source = request.source.as_ref();
        let begin = source.map_or(Ok(0), |source| source.begin(timesteps.len()))?;
        scheduler.begin_at(begin)?;
        let noise = match &request.latents {
            Some(latents) => latents.data.clone(),
            None => gaussian(request.seed, shape.iter().product()),
        };
        let clean = match source {
            Some(source) => self.encode(source).await?,
            None => Vec::new(),
        };
        let mut latents = match source {
            Some(source) if !source.is_new() => scheduler.add_noise(&clean, &noise, begin),
            _ => {
                let sigma = scheduler.init_noise_sigma() as f32;
                noise.iter().map(|v| v * sigma).collect()
            }
        };
        let painted = source.and_then(|source| source.latent_mask(self.configs.vae.downscale()));

        // 3. denoise
        for (i, &timestep) in timesteps.iter().enumerate().skip(begin) {
            let input = scheduler.scale_model_input(&latents);
            let prediction = self.predict(input, shape, timestep, &text, guided);
            let prediction = read(prediction).await?.data;
            let prediction = match guided {
                true => guide(&prediction, request.guidance_scale as f32),
                false => prediction,
            };
            let output = scheduler.step(&prediction, &latents)?;
            latents = output.prev_sample;
            if let Some(painted) = &painted {
                let kept = scheduler.add_noise(&clean, &noise, i + 1);
                for (j, (latent, kept)) in latents.iter_mut().zip(kept).enumerate() {
                    if !painted[j % painted.len()] {
                        *latent = kept;
                    }
                }
            }
            if let Some(bad) = latents.iter().find(|v| !v.is_finite()) {
                return Err(Error::Output(format!(
                    "the latents became {bad} at step {}",
                    i + 1
                )));
            }
            on_step(Step {
                index: i + 1 - begin,
                total: timesteps.len() - begin,
                pred_original_sample: &output.pred_original_sample,
                shape,
                pipeline: self,
            })
            .await?;
        }

        // 4. image
        let mut image = read(self.decode(&latents, shape)).await?;
        if let Some(source) = source {
            source.keep_outside(&mut image);
        }
        Ok(Generated {
            prompt_embeds: read(prompt_embeds).await?,
            latents: Weight {
                shape: shape.to_vec(),
                data: latents,
            },
            image,
            truncated,
            repeated: None,
            attention: match text.mean_attention() {
                Some(attention) => Some(read(attention).await?),
                None => None,
            },
        })
    }

    /// The words of a prompt, and which rows of [`Generated::attention`] are theirs.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the prompt cannot be split.
    pub fn parts(&self, prompt: &str) -> Result<Vec<PartTokens>> {
        self.tokenizer.parts(prompt)
    }

    /// `[T]` ids to `[1, T, E]` embeddings.
    fn embed(&self, ids: &[u32]) -> Tensor<3> {
        let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), &self.device);
        self.networks.text_encoder.forward(ids.unsqueeze())
    }

    /// The U-Net's output, once for every row of `text`.
    fn predict(
        &self,
        sample: Vec<f32>,
        shape: [usize; 4],
        timestep: f64,
        text: &Text,
        guided: bool,
    ) -> Tensor<4> {
        let copies = if guided { 2 } else { 1 };
        let sample = self.tensor(sample, shape).repeat_dim(0, copies);
        let timesteps = vec![timestep as f32; copies];
        let timesteps = Tensor::<1>::from_floats(timesteps.as_slice(), &self.device);
        self.networks.unet.forward_text(sample, timesteps, text)
    }

    /// A picture to the mean of its latents as diffusion has them.
    async fn encode(&self, source: &Source) -> Result<Vec<f32>> {
        let vae = &self.networks.vae;
        let config = &self.configs.vae;
        let image = source.image.to_weight(config.in_channels());
        let image = config.encoder_size().shown(image);
        let shape: [usize; 4] = [1, image.shape[1], image.shape[2], image.shape[3]];
        let image = self.tensor(image.data, shape);
        Ok(read(vae.scale(vae.encode(image).mean)).await?.data)
    }

    /// Latents as diffusion has them to an image in -1 to 1.
    fn decode(&self, latents: &[f32], shape: [usize; 4]) -> Tensor<4> {
        let vae = &self.networks.vae;
        let latents = vae.unscale(self.tensor(latents.to_vec(), shape));
        vae.decode(latents).clamp(-1.0, 1.0)
    }

    /// Numbers on the device, as the U-Net and the autoencoder take them.
    fn tensor<const D: usize>(&self, data: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        let tensor = Tensor::<D>::from_data(TensorData::new(data, shape), &self.device);
        tensor.cast(self.precision.dtype())
    }
}

/// `unconditional + scale * (conditional - unconditional)` of the two halves (Ho and Salimans 2022, eq. 6, as diffusers
/// counts the scale).
fn guide(prediction: &[f32], scale: f32) -> Vec<f32> {
    let (unconditional, conditional) = prediction.split_at(prediction.len() / 2);
    let pairs = unconditional.iter().zip(conditional);
    pairs.map(|(u, c)| u + scale * (c - u)).collect()
}

/// Brings a tensor back from the device. On the web this is where the GPU's work is awaited.
async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Weight> {
    let failed = |error: &dyn std::fmt::Debug| Error::Device(format!("{error:?}"));
    let shape = tensor.shape().to_vec();
    let data = tensor.into_data_async().await.map_err(|e| failed(&e))?;
    let data = data.try_into_vec_as().map_err(|e| failed(&e))?;
    Ok(Weight { shape, data })
}
