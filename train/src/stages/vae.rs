//! Training the autoencoder on random crops: mean absolute error, the same of edges, and a little KL.

use burn::module::Module;
use burn::prelude::*;
use rand::RngExt;
use rand::rngs::StdRng;
use roentgen_web::error::Result;
use roentgen_web::image;

use crate::data::dataset::Dataset;
use crate::data::images::{to_grey, to_unit};
use crate::training::loss::edges;
use crate::training::random::{normal, step_rng};
use crate::training::replicas::share;
use crate::training::run::{Run, RunFolder};
use crate::training::sheet;
use crate::training::start;
use crate::training::tensors::{floats, values};
use crate::training::trainer::Trainer;

/// The autoencoder under its component's name, so that keys come out as `vae.encoder.conv_in.weight`.
#[derive(Module, Debug)]
pub struct Autoencoder {
    /// The network.
    pub vae: image::Autoencoder,
}

/// Random crops, `[batch, 1, crop, crop]` in -1 to 1.
fn crops(data: &Dataset, batch: usize, crop: usize, rng: &mut StdRng) -> Vec<f32> {
    let size = data.size;
    let mut pixels = Vec::with_capacity(batch * crop * crop);
    for _ in 0..batch {
        let image = data.image(rng.random_range(0..data.len()));
        let (x, y) = (
            rng.random_range(0..=size - crop),
            rng.random_range(0..=size - crop),
        );
        for row in y..y + crop {
            let start = row * size + x;
            pixels.extend(image[start..start + crop].iter().map(|&p| to_unit(p)));
        }
    }
    pixels
}

/// Trains the autoencoder of `run` into `folder/vae`.
///
/// # Errors
/// As [`Trainer::step`] and [`sheet::write`].
pub fn train(run: &Run, data: &Dataset, folder: &RunFolder, device: &Device) -> Result<()> {
    let device = device.clone().autodiff();
    device.seed(run.seed); // of the starting weights
    let r = &run.vae;
    let vae = r.model.init(&device)?;
    println!("autoencoder: {} parameters", vae.num_params());
    let mut autoencoder = Autoencoder { vae: vae.into() };
    if let Some(init) = &run.init {
        autoencoder = start::from(autoencoder, init)?;
    }
    let mut trainer = Trainer::new(autoencoder, r.optimization.clone(), folder.path("vae"))?;
    let (n, h) = (trainer.share(), r.crop / r.model.downscale());
    let (image, latent) = ([n, 1, r.crop, r.crop], [n, r.model.latent_channels, h, h]);
    while !trainer.is_done() {
        let mut rng = step_rng(run.seed, trainer.step);
        let pixels = crops(data, r.optimization.batch_size, r.crop, &mut rng);
        let noise = normal(
            &mut rng,
            pixels.len() / image[2..].iter().product::<usize>()
                * latent[1..].iter().product::<usize>(),
        );
        trainer.step(|module, part, device| {
            let x = floats(share(&pixels, part, image), image, device);
            let latents = module.vae.encode(x.clone());
            let noise = floats(share(&noise, part, latent), latent, device);
            let z = latents.mean.clone() + (latents.logvar.clone() * 0.5).exp() * noise;
            let difference = module.vae.decode(z) - x;
            let kl =
                (latents.mean.powi_scalar(2) + latents.logvar.clone().exp() - 1.0 - latents.logvar)
                    .mean()
                    * 0.5;
            difference.clone().abs().mean() + edges(difference) * r.edge_weight + kl * r.kl_weight
        })?;
        if trainer.sheet_is_due() {
            reconstructions(&trainer, data, folder)?;
        }
    }
    Ok(())
}

/// A sheet of eight whole images, each above its reconstruction.
fn reconstructions(
    trainer: &Trainer<Autoencoder>,
    data: &Dataset,
    folder: &RunFolder,
) -> Result<()> {
    let size = data.size;
    let vae = trainer.module.valid().vae;
    let n = data.len().min(8);
    let picks: Vec<&[u8]> = (0..n).map(|i| data.image(i * data.len() / n)).collect();
    let pixels: Vec<f32> = picks
        .iter()
        .flat_map(|i| i.iter().map(|&p| to_unit(p)))
        .collect();
    let device = &vae.devices()[0];
    let x = floats(&pixels, [n, 1, size, size], device);
    let decoded = values(vae.decode(vae.encode(x).mean));
    let mut images: Vec<Vec<u8>> = picks.iter().map(|i| i.to_vec()).collect();
    images.extend(
        decoded
            .chunks(size * size)
            .map(|i| i.iter().map(|&v| to_grey(v)).collect()),
    );
    let captions = [vec!["real"; n], vec!["decoded"; n]].concat();
    let path = folder.path(&format!("sheets/vae-{:06}.png", trainer.step));
    sheet::save(&path, &images, &captions, size, size, n)
}
