//! Text -> Image: the only file that knows every stage (diffusers: `StableDiffusionPipeline`).

mod request;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod stages;
mod verify;
#[cfg(feature = "gpu")]
mod warmup;

pub use request::{Generated, Request, Step};
pub use verify::Verified;

use std::collections::BTreeMap;

use burn::prelude::*;

use crate::components::ComponentConfigs;
use crate::device::Precision;
use crate::embeddings::{CLIPTextModel, Embeddings};
use crate::error::{Error, Result};
use crate::image::{Autoencoder, Image};
use crate::latents::denoise::Denoiser;
use crate::latents::img2img::{Img2Img, Start};
use crate::latents::scheduler::Scheduler;
use crate::latents::{Latents, UNet2DConditionModel};
use crate::reader::{Reader, Reading};
use crate::tensor::HostTensor;
use crate::tokens::{ClipTokenizer, PartTokens, Word};
use crate::weights::{self, Stored, WeightLoader};

/// The stages of an image, by their names in requests and records.
pub const STAGES: [&str; 3] = ["text_encoder", "unet", "decoder"];

#[cfg(any(feature = "gpu", feature = "testing"))]
fn unknown_stage(stage: &str) -> Error {
    Error::request(
        "stage",
        format!("{stage:?} is not known; use {}", STAGES.join(", ")),
    )
}

/// The networks. Field names are the components' names in the keys of [`weights::Weights`].
#[derive(Module, Debug)]
struct Networks {
    text_encoder: CLIPTextModel,
    unet: UNet2DConditionModel,
    vae: Autoencoder,
    reader: Option<Reader>,
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

/// A prompt on its way to the U-Net.
struct Prompt {
    /// `[1, T, E]`
    embeds: Tensor<3>,
    text: Embeddings,
    /// Tokens that did not fit.
    truncated: usize,
}

impl Networks {
    /// Without weights.
    fn new(configs: &ComponentConfigs, device: &Device) -> Result<Self> {
        Ok(Self {
            text_encoder: configs.text_encoder.init(device)?,
            unet: configs.unet.init(device)?,
            vae: configs.vae.init(device)?,
            reader: configs
                .reader
                .as_ref()
                .map(|r| r.init(device))
                .transpose()?,
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
            return Err(Error::config(
                "unet/config.json",
                format!(
                    "in_channels {} and out_channels {} differ from the autoencoder's latent_channels {c}",
                    configs.unet.in_channels, configs.unet.out_channels
                ),
            ));
        }
        if tokenizer.vocab_size() > configs.text_encoder.vocab_size
            || tokenizer.model_max_length() > configs.text_encoder.max_position_embeddings
        {
            return Err(Error::config(
                "text_encoder/config.json",
                format!(
                    "its {} tokens and {} positions are too few for the tokenizer's {} and {}",
                    configs.text_encoder.vocab_size,
                    configs.text_encoder.max_position_embeddings,
                    tokenizer.vocab_size(),
                    tokenizer.model_max_length()
                ),
            ));
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

    /// What the U-Net and the autoencoder shall compute in; f32 where nobody says otherwise. The
    /// text encoder stays in f32: it runs once.
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

    /// Denoises the seed's latents towards the prompt and decodes them. `on_step` runs after every
    /// step; an error from it ([`Error::Cancelled`], say) ends the run.
    ///
    /// Where f16 gives no image, all of it is drawn once more in f32, from the same noise and with
    /// its steps counted from 1 again, and [`Generated::repeated`] says why. On some adapters a
    /// number that f16 has not becomes its largest, 65504, and goes unseen.
    ///
    /// # Errors
    /// [`Error::Request`] naming the setting that is wrong; [`Error::Output`] if the latents are
    /// not finite; [`Error::Device`] if the device fails.
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

        let Prompt {
            embeds,
            text,
            truncated,
        } = self.encode_prompt(request, shape)?;
        let start = self.start(request, &mut scheduler, shape).await?;

        let denoiser = self.denoiser(request.guidance_scale);
        let timesteps = scheduler.timesteps().to_vec();
        let mut latents = start.latents.clone();
        for (i, &timestep) in timesteps.iter().enumerate().skip(start.begin) {
            let output = denoiser
                .step(&mut scheduler, &latents, timestep, &text)
                .await?;
            latents = latents.with(output.prev_sample);
            start.keep(&scheduler, i + 1, &mut latents);
            latents.check_finite(i + 1)?;
            on_step(Step {
                index: i + 1 - start.begin,
                total: timesteps.len() - start.begin,
                pred_original_sample: &latents.with(output.pred_original_sample),
                pipeline: self,
            })
            .await?;
        }

        let mut image = HostTensor::read(self.decode(&latents)).await?;
        if let Some(source) = &request.source {
            source.keep_outside(&mut image);
        }
        Ok(Generated {
            prompt_embeds: HostTensor::read(embeds).await?,
            latents: latents.into(),
            image,
            truncated,
            repeated: None,
            attention: match text.mean_attention() {
                Some(attention) => Some(HostTensor::read(attention).await?),
                None => None,
            },
        })
    }

    /// The prompt's embeddings, below those of the negative prompt where guidance needs them, as
    /// diffusers stacks them.
    fn encode_prompt(&self, request: &Request, shape: [usize; 4]) -> Result<Prompt> {
        let tokens = self.tokenizer.encode(&request.prompt)?;
        let embeds = self.embed(&tokens.ids);
        let states = if request.guidance_scale > 1.0 {
            let negative = self.tokenizer.encode(&request.negative_prompt)?;
            Tensor::cat(vec![self.embed(&negative.ids), embeds.clone()], 0)
        } else {
            embeds.clone()
        };
        let states = states.cast(self.precision.dtype());
        Ok(Prompt {
            embeds,
            text: if request.words {
                Embeddings::recorded(states, [shape[2], shape[3]])
            } else {
                states.into()
            },
            truncated: tokens.truncated,
        })
    }

    /// Noise, with the picture below it where there is one.
    async fn start(
        &self,
        request: &Request,
        scheduler: &mut Scheduler,
        shape: [usize; 4],
    ) -> Result<Start> {
        let noise = match &request.latents {
            Some(latents) => Latents {
                shape,
                data: latents.data.clone(),
            },
            None => Latents::noise(request.seed, shape),
        };
        let Some(source) = &request.source else {
            return Ok(Start::from_noise(scheduler, &noise));
        };
        let begin = source.begin(scheduler.timesteps().len())?;
        let clean = self.encode(source).await?;
        let downscale = self.configs.vae.downscale();
        Start::from_picture(scheduler, source, begin, clean, &noise, downscale)
    }

    /// What the model's reader sees on an image; `None` where the model has none.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub async fn read(&self, image: &Image) -> Result<Option<Reading>> {
        let Some((reader, config)) = self
            .networks
            .reader
            .as_ref()
            .zip(self.configs.reader.as_ref())
        else {
            return Ok(None);
        };
        Ok(Some(reader.read(config, image).await?))
    }

    /// The words of a prompt, and which rows of [`Generated::attention`] are theirs.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the prompt cannot be split.
    pub fn parts(&self, prompt: &str) -> Result<Vec<PartTokens>> {
        self.tokenizer.parts(prompt)
    }

    /// Every word of a prompt: whether it is read, and known.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the prompt cannot be split.
    pub fn words(&self, prompt: &str) -> Result<Vec<Word>> {
        self.tokenizer.words(prompt)
    }

    /// `[T]` ids to `[1, T, E]` embeddings.
    fn embed(&self, ids: &[u32]) -> Tensor<3> {
        let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), &self.device);
        self.networks.text_encoder.forward(ids.unsqueeze())
    }

    /// The U-Net on this device, in this precision.
    fn denoiser(&self, guidance_scale: f64) -> Denoiser<'_> {
        Denoiser {
            unet: &self.networks.unet,
            guidance_scale,
            device: &self.device,
            dtype: self.precision.dtype(),
        }
    }

    /// A picture to the mean of its latents as diffusion has them.
    async fn encode(&self, source: &Img2Img) -> Result<Vec<f32>> {
        let vae = &self.networks.vae;
        let config = &self.configs.vae;
        let image = source.image.to_weight(config.in_channels());
        let image = config.encoder_size().shown(image);
        let shape: [usize; 4] = [1, image.shape[1], image.shape[2], image.shape[3]];
        let image = self.tensor(image.data, shape);
        Ok(HostTensor::read(vae.scale(vae.encode(image).mean))
            .await?
            .data)
    }

    /// Latents as diffusion has them to an image in -1 to 1.
    fn decode(&self, latents: &Latents) -> Tensor<4> {
        let vae = &self.networks.vae;
        let latents = latents.to_tensor(&self.device, self.precision.dtype());
        vae.decode(vae.unscale(latents)).clamp(-1.0, 1.0)
    }

    /// Numbers on the device, as the U-Net and the autoencoder take them.
    fn tensor<const D: usize>(&self, data: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        let tensor = Tensor::<D>::from_data(TensorData::new(data, shape), &self.device);
        tensor.cast(self.precision.dtype())
    }
}
