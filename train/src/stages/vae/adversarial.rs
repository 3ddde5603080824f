//! The decoder made sharp: a discriminator asks it for the detail that the latents do not hold and
//! the mean absolute error blurs.
//!
//! The encoder is frozen, so latents stay what they are, and a U-Net that knows them stays right.

use std::sync::Mutex;

use burn::module::Module;
use burn::prelude::*;
use burn::tensor::activation::softplus;
use rand::RngExt;
use rand::rngs::StdRng;
use roentgen_web::error::Result;
use roentgen_web::weights;

use super::discriminator::{Discriminator, MISSED};
use super::loss::blur;
use super::{self as vae, Autoencoder, reconstructions, source};
use crate::data::dataset::Dataset;
use crate::training::random::{normal, step_rng};
use crate::training::replicas::share;
use crate::training::run::{AdversarialRun, Optimization, Run, RunFolder};
use crate::training::tensors::{floats, values};
use crate::training::trainer::Trainer;

/// Folder of the decoder's training in that of the run, and of the discriminator's.
pub const FOLDER: &str = "adversarial";
const JUDGE: &str = "adversarial/discriminator";
/// Pixels by which what the discriminator sees may be shifted, so that no grid of the decoder is
/// one of its own.
const SHIFT: usize = 8;
/// What is blurred by so many pixels is the mean absolute error's to keep, and not the
/// discriminator's to see: one that sees it lets brightness drift. Means of squares in its place
/// leave the decoder free in each of them, and edges become rows of dots.
const COARSE: f64 = 2.0;

/// Crops of sharp images, with what both decoders make of them: `[n, 1, crop, crop]` each.
struct Batch {
    image: Vec<f32>,
    latents: Vec<f32>,
    plain: Vec<f32>,
}

/// How the discriminator is shown an image: a window of it, brighter or darker; the same for real
/// and made.
#[derive(Clone)]
struct Views {
    gains: Vec<f32>,
    corner: [usize; 2],
}

impl Views {
    fn draw(batch: usize, rng: &mut StdRng) -> Self {
        Self {
            gains: (0..batch).map(|_| rng.random_range(0.9..1.1)).collect(),
            corner: [(); 2].map(|()| rng.random_range(0..=SHIFT)),
        }
    }

    /// `[n, 1, crop, crop]` to `[n, 1, crop - SHIFT, crop - SHIFT]`.
    fn of(&self, x: Tensor<4>, part: usize) -> Tensor<4> {
        let [n, _, h, w] = x.dims();
        let gains = floats(share(&self.gains, part, [n]), [n, 1, 1, 1], &x.device());
        let [top, left] = self.corner;
        let window = x.slice([0..n, 0..1, top..top + h - SHIFT, left..left + w - SHIFT]);
        window * gains
    }
}

/// Trains the decoder of `run` into `folder/adversarial`, from the autoencoder that it has
/// ([`vae::trained`]).
///
/// Each step of the decoder is followed by one of the discriminator on the same images;
/// [`AdversarialRun::head_start`] of its steps come first. A training that is continued takes
/// whichever is behind.
///
/// # Errors
/// As [`vae::trained`] and [`Trainer::step`].
pub fn train(
    run: &Run,
    r: &AdversarialRun,
    data: &Dataset,
    folder: &RunFolder,
    device: &Device,
) -> Result<()> {
    let source = source(run, data)?;
    let device = device.clone().autodiff();
    device.seed(run.seed ^ 0xD);
    let trained = vae::trained(run, folder)?;
    let of = |device: &Device| -> Result<Autoencoder> {
        let vae = run.vae.model.init(device)?;
        weights::load(Autoencoder { vae }, trained.clone())
    };
    let plain = of(&device.clone().without_autodiff())?;
    let mut decoder = Trainer::new(of(&device)?, r.optimization.clone(), folder.path(FOLDER))?;
    let judging = judging(r);
    let judge = Discriminator::init(&device);
    println!("discriminator: {} parameters", judge.num_params());
    let mut judge = Trainer::new(judge, judging, folder.path(JUDGE))?;
    let n = r.optimization.batch_size;
    while !decoder.is_done() {
        let due = r.head_start + decoder.step;
        let leads = judge.step < due;
        let mut rng = step_rng(run.seed ^ 0xAD, if leads { judge.step } else { due });
        let crops = source.draw(n, true, &mut rng);
        let batch = prepare(&plain, crops.shown, crops.target, run.vae.crop);
        let views = Views::draw(n, &mut rng);
        let made = if leads {
            decode(&decoder.module.valid(), &batch, run, n)
        } else {
            generate(&mut decoder, &judge, r, run, &batch, &views)?
        };
        if judge.step <= due {
            discriminate(&mut judge, r, run, &batch, &made, &views, &mut rng)?;
        }
        if !leads && decoder.sheet_is_due() {
            let sharp = reconstructions(&decoder.module.valid(), run, data);
            let before = reconstructions(&plain, run, data);
            println!("step {}: plain {before}\nadversarial {sharp}", decoder.step);
            let path = folder.path(&format!("sheets/adversarial-{:06}.png", decoder.step));
            before.sheet("plain", &[("adversarial", &sharp)], &path)?;
        }
    }
    Ok(())
}

/// The discriminator's optimization: the decoder's, with its own rate and head start.
fn judging(r: &AdversarialRun) -> Optimization {
    let o = &r.optimization;
    Optimization {
        steps: o.steps + r.head_start,
        pause_at: o.pause_at.map(|step| step + r.head_start),
        learning_rate: r.discriminator_learning_rate,
        ema_decays: vec![],
        sheet_every: usize::MAX,
        ..o.clone()
    }
}

fn prepare(plain: &Autoencoder, shown: Vec<f32>, image: Vec<f32>, crop: usize) -> Batch {
    let device = &plain.devices()[0];
    let n = shown.len() / (crop * crop);
    let latents = plain
        .vae
        .encode(floats(&shown, [n, 1, crop, crop], device))
        .mean;
    Batch {
        image,
        latents: values(latents.clone()),
        plain: values(plain.vae.decode(latents)),
    }
}

/// What the decoder makes of a batch, without gradients.
fn decode(decoder: &Autoencoder, batch: &Batch, run: &Run, n: usize) -> Vec<f32> {
    let shape = latent_shape(run, n);
    let latents = floats(&batch.latents, shape, &decoder.devices()[0]);
    values(decoder.vae.decode(latents))
}

fn latent_shape(run: &Run, n: usize) -> [usize; 4] {
    let h = run.vae.crop / run.vae.model.downscale();
    [n, run.vae.model.latent_channels(), h, h]
}

/// A step of the decoder, towards images that the discriminator takes for more real than the real
/// ones. Returns what it made.
fn generate(
    decoder: &mut Trainer<Autoencoder>,
    judge: &Trainer<Discriminator>,
    r: &AdversarialRun,
    run: &Run,
    batch: &Batch,
    views: &Views,
) -> Result<Vec<f32>> {
    let (n, crop) = (decoder.share(), run.vae.crop);
    let (image, latent) = ([n, 1, crop, crop], latent_shape(run, n));
    let ramp = (decoder.step + 1) as f64 / r.ramp_steps.max(1) as f64;
    let weight = r.adversarial_weight * ramp.min(1.0);
    let frozen = judge.module.clone().no_grad();
    let parts = decoder.parts();
    // those of other ranks are not looked at
    let made = Mutex::new(vec![vec![0.0; n * crop * crop]; parts]);
    decoder.step(|module, part, device| {
        let tensor = |values: &[f32]| floats(share(values, part, image), image, device);
        let latents = floats(share(&batch.latents, part, latent), latent, device);
        let [real, plain] = [&batch.image, &batch.plain].map(|values| tensor(values));
        let output = module.vae.decode(latents);
        made.lock().expect("no panic")[part] = values(output.clone().detach());
        let difference = output.clone() - real.clone();
        let pixels = difference.clone().abs().mean() * r.pixel_weight;
        let coarse = blur(difference, COARSE).abs().mean() * r.coarse_weight;
        let judge = frozen.clone().to_device(device);
        let [real, fake] =
            [real, output].map(|image| look(&judge, image, plain.clone(), views, part));
        pixels + coarse + softplus(real - fake, 1.0).mean() * weight
    })?;
    Ok(made.into_inner().expect("no panic").concat())
}

/// A step of the discriminator: the loss of pairs of R3GAN (Huang et al. 2024, arXiv:2501.05441,
/// equation 1), and of its gradients at real and made images, R1 and R2, an approximation that
/// needs no second derivatives: how much noise changes its judgement (Lin et al. 2025,
/// arXiv:2501.08316, section 3.3).
fn discriminate(
    judge: &mut Trainer<Discriminator>,
    r: &AdversarialRun,
    run: &Run,
    batch: &Batch,
    made: &[f32],
    views: &Views,
    rng: &mut StdRng,
) -> Result<f64> {
    let (n, crop) = (judge.share(), run.vae.crop);
    let shape = [n, 1, crop, crop];
    let noise = [(); 2].map(|()| normal(rng, batch.image.len()));
    judge.step(|judge, part, device| {
        let tensor = |values: &[f32]| floats(share(values, part, shape), shape, device);
        let plain = tensor(&batch.plain);
        let both = [tensor(&batch.image), tensor(made)];
        let noisy: [Tensor<4>; 2] = std::array::from_fn(|i| {
            both[i].clone() + tensor(&noise[i]) * (r.penalty_noise * MISSED)
        });
        // In one batch, so that each convolution runs once.
        let images = Tensor::cat(both.into_iter().chain(noisy).collect(), 0);
        let seen = Views {
            gains: [(); 4].map(|()| share(&views.gains, part, [n])).concat(),
            ..views.clone()
        };
        let plain = Tensor::cat(vec![plain; 4], 0);
        let judged = look(judge, images, plain, &seen, 0);
        let [_, _, h, w] = judged.dims();
        let of = |i: usize| judged.clone().slice([i * n..(i + 1) * n, 0..1, 0..h, 0..w]);
        let [real, fake, noisy_real, noisy_fake] = [0, 1, 2, 3].map(of);
        let change = |a: Tensor<4>, b: Tensor<4>| (a - b).powi_scalar(2).mean();
        let penalty = change(real.clone(), noisy_real) + change(fake.clone(), noisy_fake);
        softplus(fake - real, 1.0).mean() + penalty * r.penalty_weight
    })
}

/// The discriminator's judgement of images beside the L1 decoder's. It sees what
/// [`COARSE`] takes away.
fn look(
    judge: &Discriminator,
    image: Tensor<4>,
    plain: Tensor<4>,
    views: &Views,
    part: usize,
) -> Tensor<4> {
    let detail = (image - plain.clone()) / MISSED;
    let detail = detail.clone() - blur(detail, COARSE);
    judge.forward(views.of(detail, part), views.of(plain, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_a_window_with_its_gain() {
        let data: Vec<f32> = (0..2 * 144).map(|i| i as f32).collect();
        let x = floats(&data, [2, 1, 12, 12], &Device::flex());
        let views = Views {
            gains: vec![1.0, 2.0],
            corner: [3, 5],
        };
        let seen = values(views.of(x, 0));
        assert_eq!(seen.len(), 2 * 16);
        assert_eq!((seen[0], seen[16]), (41.0, 2.0 * (144.0 + 41.0)));
    }
}
