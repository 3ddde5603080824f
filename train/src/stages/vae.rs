//! Training the autoencoder on random crops: mean absolute error, the same of edges, and a little
//! KL where it has one.

pub mod adversarial;
pub mod crops;
pub mod discriminator;
pub mod loss;
pub mod reconstruct;

use burn::module::Module;
use burn::prelude::*;
use roentgen_web::error::{Error, Result};
use roentgen_web::image;
use roentgen_web::weights::Weights;

use crate::data::dataset::Dataset;
use crate::data::images::to_unit;
use crate::training::random::{normal, step_rng, uniform};
use crate::training::replicas::share;
use crate::training::run::{Run, RunFolder};
use crate::training::start;
use crate::training::tensors::floats;
use crate::training::trainer::Trainer;
use crops::Source;
use reconstruct::{ON_SHEET, Reconstructions};

/// The autoencoder under its component's name, so that keys come out as
/// `vae.encoder.conv_in.weight`.
#[derive(Module, Debug)]
pub struct Autoencoder {
    /// The network.
    pub vae: image::Autoencoder,
}

/// Trains the autoencoder of `run` into `folder/vae`.
///
/// # Errors
/// As [`Trainer::step`] and [`Reconstructions::sheet`]; [`Error::Config`] if no image has the run's
/// size.
pub fn train(run: &Run, data: &Dataset, folder: &RunFolder, device: &Device) -> Result<()> {
    let device = device.clone().autodiff();
    device.seed(run.seed); // of the starting weights
    let r = &run.vae;
    let vae = r.model.init(&device)?;
    println!("autoencoder: {} parameters", vae.num_params());
    let mut autoencoder = Autoencoder { vae };
    if let Some(init) = &run.init {
        autoencoder = start::from(autoencoder, init)?;
    }
    let source = source(run, data)?;
    let mut trainer = Trainer::new(autoencoder, r.optimization.clone(), folder.path("vae"))?;
    let (n, h) = (trainer.share(), r.crop / r.model.downscale());
    let image = [n, 1, r.crop, r.crop];
    let latent = [n, r.model.latent_channels(), h, h];
    while !trainer.is_done() {
        let mut rng = step_rng(run.seed, trainer.step);
        let batch = r.optimization.batch_size;
        let crops = source.draw(batch, false, &mut rng);
        let values = batch * latent[1..].iter().product::<usize>();
        let [sampled, noise] = [(); 2].map(|()| normal(&mut rng, values));
        let strengths = uniform(&mut rng, batch, r.latent_noise as f32);
        trainer.step(|module, part, device| {
            let x = floats(share(&crops.shown, part, image), image, device);
            let latents = module.vae.encode(x);
            let noise_of = |values| floats(share(values, part, latent), latent, device);
            let mut z = latents.mean.clone();
            if matches!(module.vae, image::Autoencoder::KL(_)) {
                z = z + (latents.logvar.clone() * 0.5).exp() * noise_of(&sampled);
            }
            if r.latent_noise > 0.0 {
                let strength = floats(share(&strengths, part, [n]), [n, 1, 1, 1], device);
                z = z + noise_of(&noise) * strength * deviations(latents.mean.clone());
            }
            let loss = loss::reconstruction(module.vae.decode(z), &crops, part, r.edge_weight);
            if r.kl_weight > 0.0 {
                loss + kl(latents) * r.kl_weight
            } else {
                loss
            }
        })?;
        if trainer.sheet_is_due() {
            let made = reconstructions(&trainer.module.valid(), run, data);
            println!("step {}: {made}", trainer.step);
            let path = folder.path(&format!("sheets/vae-{:06}.png", trainer.step));
            made.sheet("decoded", &[], &path)?;
        }
    }
    Ok(())
}

/// The autoencoder that a run has before its decoder is trained further.
///
/// # Errors
/// [`Error::Config`] if it is not trained yet and the run starts from no model that has one; as
/// [`start::component`].
pub fn trained(run: &Run, folder: &RunFolder) -> Result<Weights> {
    start::component(run, folder, "vae", &["vae"])?.ok_or_else(|| untrained(folder))
}

/// That there is no autoencoder.
pub fn untrained(folder: &RunFolder) -> Error {
    Error::config(
        folder.0.display().to_string(),
        "it has no trained autoencoder; run `train vae` first, or name a model that has one as the run's init",
    )
}

/// Where the crops of a run come from.
fn source<'a>(run: &Run, data: &'a Dataset) -> Result<Source<'a>> {
    let source = Source::new(data, run.vae.crop, run.vae.sees_half());
    let [sharp, all] = source.counts();
    if sharp == 0 {
        return Err(Error::config(
            "[vae]",
            format!(
                "no image has the run's {0}x{0} pixels; lower size",
                run.size
            ),
        ));
    }
    println!("crops of {all} images, {sharp} of them of the full size");
    Ok(source)
}

/// Standard deviation of each channel over a batch, `[B, C, h, w]` to `[1, C, 1, 1]`.
///
/// Gradients go through it. As a constant it would reward larger latents, which drown the noise of
/// this step, and the next step's noise would be as much larger: they grow without end, until the
/// blocks, whose outputs are normalised, add nothing to them.
fn deviations(latents: Tensor<4>) -> Tensor<4> {
    let [b, c, h, w] = latents.dims();
    let channels = latents.swap_dims(0, 1).reshape([c, b * h * w]);
    (channels.var(1) + 1e-6).sqrt().reshape([1, c, 1, 1])
}

/// Mean Kullback-Leibler divergence from the standard normal distribution.
fn kl(latents: image::DiagonalGaussian) -> Tensor<1> {
    let variance = latents.logvar.clone().exp();
    (latents.mean.powi_scalar(2) + variance - 1.0 - latents.logvar).mean() * 0.5
}

/// Eight whole images of the largest size, from all over the data.
fn reconstructions(autoencoder: &Autoencoder, run: &Run, data: &Dataset) -> Reconstructions {
    let size = data.size;
    let whole: Vec<usize> = (0..data.len()).filter(|i| data.side(*i) == size).collect();
    let n = whole.len().min(ON_SHEET);
    let unit = |i: usize| data.image(i).iter().map(|&p| to_unit(p)).collect();
    let images = (0..n).map(|i| unit(whole[i * whole.len() / n])).collect();
    let device = &autoencoder.devices()[0];
    Reconstructions::new(&autoencoder.vae, &run.vae.model, images, size, device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::tensors::values;

    #[test]
    fn larger_latents_do_not_drown_the_noise() {
        let device = Device::flex().autodiff();
        let draw = |seed| normal(&mut step_rng(seed, 1), 2 * 3 * 16);
        let shape = [2, 3, 4, 4];
        let z = floats(&draw(1), shape, &device).require_grad();
        let noise = floats(&draw(2), shape, &device) * deviations(z.clone());
        // What is left of the latents beside the noise, whatever their size: no gradient along the
        // latents themselves.
        let left = (z.clone() / deviations(z.clone())) * (noise / deviations(z.clone()));
        let grads = (left * floats(&draw(3), shape, &device)).sum().backward();
        let along = z.grad(&grads).expect("a gradient") * z.clone().inner();
        let size: f32 = values(along.clone().abs()).iter().sum();
        let sum: f32 = values(along).iter().sum();
        assert!(size > 1.0 && sum.abs() < 1e-4 * size, "{sum} of {size}");
    }
}
