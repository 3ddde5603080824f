//! What every training has in common: optimizer, gradient clipping, moving average, checkpoints,
//! progress.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsParams, ModuleOptimizer, OptimizerRecord};
use burn::prelude::*;
use burn::store::ModuleRecord;
use indicatif::{ProgressBar, ProgressStyle};
use roentgen_web::error::{Error, Result};
use roentgen_web::kernels::autocast;
use serde::{Deserialize, Serialize};

use crate::training::adamw::OnePassAdamW;
use crate::training::ema::Ema;
use crate::training::folder::{self, FolderLock};
use crate::training::host::sum_of_squares;
use crate::training::ranks;
use crate::training::replicas::Replicas;
use crate::training::run::{LrScheduler, Optimization};

/// A module with everything that its training carries from step to step.
pub struct Trainer<M: Module> {
    /// The weights as they are, on an autodiff device.
    pub module: M,
    /// Their moving average.
    pub ema: Ema,
    /// Their averages of other lengths, [`Optimization::ema_decays`].
    pub averages: Vec<Ema>,
    /// Steps done.
    pub step: usize,
    optimizer: ModuleOptimizer,
    replicas: Replicas,
    optimization: Optimization,
    /// What losses are multiplied by before they are differentiated.
    loss_scale: f64,
    folder: PathBuf,
    /// On rank 0.
    log: Option<fs::File>,
    /// As long as it lives, no other training writes into the folder.
    _lock: Option<FolderLock>,
    bar: ProgressBar,
    started: (Instant, usize),
    running_loss: f64,
}

/// Where the training in `folder` keeps the averaged weights of its last checkpoint.
pub fn ema_path(folder: &Path) -> PathBuf {
    folder.join("checkpoint").join("ema.safetensors")
}

/// Folder of the checkpoint from which the rate fell: under the name `checkpoint`, and with more
/// steps in the run's file, the training goes on at its full rate.
pub const BEFORE_DECAY: &str = "before_decay";

fn average_name(decay: f64) -> String {
    format!("ema-{decay}.safetensors")
}

/// The log at `path`, to be written on.
fn opened(path: &Path) -> Result<fs::File> {
    let new = !path.exists();
    let mut options = fs::OpenOptions::new();
    let opened = options.create(true).append(true).open(path);
    let mut log = opened.map_err(Error::io(path))?;
    if new {
        let head = "step,loss,grad_norm,learning_rate,images_per_second";
        writeln!(log, "{head}").map_err(Error::io(path))?;
    }
    Ok(log)
}

#[derive(Serialize, Deserialize)]
struct State {
    step: usize,
    running_loss: f64,
    #[serde(default = "one")]
    loss_scale: f64,
    optimization: Optimization,
}

fn one() -> f64 {
    1.0
}

fn damaged(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::config(
        path.display().to_string(),
        format!("{why}; delete the folder to start anew"),
    )
}

impl<M: Module + Send> Trainer<M> {
    /// Starts a training of `module`, or continues it from the checkpoint in `folder` if there is
    /// one.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be written, [`Error::Config`] if a checkpoint is damaged,
    /// another training has the folder, the batch cannot be shared between the ranks, or they do
    /// not all see this checkpoint.
    pub fn new(module: M, optimization: Optimization, folder: PathBuf) -> Result<Self> {
        let ranks = ranks::world();
        if !(optimization.batch_size).is_multiple_of(ranks.size() * optimization.parts()) {
            return Err(Error::config(
                "batch_size",
                format!(
                    "{} images cannot be shared between {} ranks of {} parts each; make it a multiple, or start fewer",
                    optimization.batch_size,
                    ranks.size(),
                    optimization.parts()
                ),
            ));
        }
        let optimizer = ModuleOptimizer::from(OnePassAdamW::new(
            optimization.adam_betas,
            optimization.weight_decay,
        ));
        let (mut lock, mut log) = (None, None);
        if ranks::is_first() {
            lock = Some(folder::lock(&folder)?);
            folder::checkpoint(&folder)?;
            log = Some(opened(&folder.join("log.csv"))?);
            ranks::call(true);
        }
        ranks.barrier(); // rank 0 has put the folder in order
        let bar = ProgressBar::new(optimization.steps as u64).with_style(
            ProgressStyle::with_template(
                "{elapsed_precise} [{bar:40}] {pos}/{len} {msg} eta {eta}",
            )
            .expect("a valid template"),
        );
        let decays = &optimization.ema_decays;
        let mut trainer = Self {
            ema: Ema::new(&module, optimization.ema_decay),
            averages: decays.iter().map(|d| Ema::new(&module, *d)).collect(),
            replicas: Replicas::new(optimization.replicas, &module.devices()[0]),
            module,
            step: 0,
            optimizer,
            loss_scale: optimization.precision.loss_scale(),
            optimization,
            folder,
            log,
            _lock: lock,
            bar,
            started: (Instant::now(), 0),
            running_loss: f64::NAN,
        };
        if trainer.checkpoint().exists() {
            trainer.resume()?;
            println!("continuing at step {}", trainer.step);
        }
        if ranks.size() > 1 {
            let mut norm = Norm(0.0);
            trainer.module.visit(&mut norm);
            ranks::agree("the step", trainer.step as f32, &trainer.folder)?;
            ranks::agree("the weights' squared norm", norm.0 as f32, &trainer.folder)?;
        }
        trainer.started = (Instant::now(), trainer.step);
        Ok(trainer)
    }

    fn checkpoint(&self) -> PathBuf {
        self.folder.join("checkpoint")
    }

    /// Whether all steps are done, or all before the pause.
    pub fn is_done(&self) -> bool {
        let pause = self.optimization.pause_at.unwrap_or(usize::MAX);
        self.step >= self.optimization.steps.min(pause)
    }

    /// Whether a sheet is due after the last step, on rank 0.
    pub fn sheet_is_due(&self) -> bool {
        ranks::is_first()
            && (self.step.is_multiple_of(self.optimization.sheet_every) || self.is_done())
    }

    /// How many images go through a replica at a time.
    pub fn share(&self) -> usize {
        self.optimization.batch_size / self.parts()
    }

    /// Into how many equal parts a batch is divided, over all ranks. Each rank takes some of them.
    pub fn parts(&self) -> usize {
        ranks::world().size() * self.optimization.parts()
    }

    /// One optimizer step down the gradient of `loss`, with a checkpoint when one is due. Returns
    /// the mean loss. `loss(replica, part, device)` is the mean loss `[1]` of the part-th
    /// [`Self::share`] of the batch, on the replica's device.
    ///
    /// # Errors
    /// [`Error::Output`] if the loss is not finite; the last checkpoint is kept. [`Error::Io`] if
    /// one cannot be written.
    pub fn step(&mut self, loss: impl Fn(&M, usize, &Device) -> Tensor<1> + Sync) -> Result<f64> {
        let rounds = self.optimization.gradient_accumulation_steps;
        let precision = self.optimization.precision.cast();
        let (value, mut grads, norm) = loop {
            let scale = self.loss_scale;
            let scaled = |replica: &M, part, device: &Device| {
                autocast(precision, || loss(replica, part, device)) * scale
            };
            let (value, grads) = self.replicas.gradients(&self.module, rounds, scaled);
            let norm = norm(&self.module, &grads) / scale;
            // The largest gradients do not fit into 16 bits so much enlarged.
            if norm.is_finite() || scale <= 1.0 {
                break (value / scale, grads, norm);
            }
            self.loss_scale /= 2.0;
        };
        if !value.is_finite() || !norm.is_finite() {
            return Err(Error::Output(format!(
                "the loss became {value} and its gradient {norm} at step {}; lower the learning rate and continue from the checkpoint",
                self.step
            )));
        }
        let factor = clipping(norm, self.optimization.max_grad_norm) / self.loss_scale;
        if factor != 1.0 {
            let grads = &mut grads;
            self.module.visit(&mut Scale { grads, factor });
        }
        let rate = self.optimization.learning_rate_at(self.step);
        self.module = self.optimizer.step(rate, self.module.clone(), grads);
        self.step += 1;
        self.ema.update(&self.module, self.step);
        for average in &mut self.averages {
            average.update(&self.module, self.step);
        }
        self.report(value, norm, rate)?;
        if self.step.is_multiple_of(self.optimization.checkpoint_every) || self.is_done() {
            self.save("checkpoint")?;
        }
        let o = &self.optimization;
        let decays = o.lr_scheduler == LrScheduler::WarmupConstantDecay;
        if decays && self.step == o.decay_start() {
            self.save(BEFORE_DECAY)?;
        }
        if self.is_done() {
            ranks::world().barrier(); // what follows may read the checkpoint
        }
        Ok(value)
    }

    fn report(&mut self, loss: f64, norm: f64, rate: f64) -> Result<()> {
        let old = if self.running_loss.is_nan() {
            loss
        } else {
            self.running_loss
        };
        self.running_loss = 0.98 * old + 0.02 * loss;
        let images = (self.step - self.started.1) * self.optimization.batch_size;
        let speed = images as f64 / self.started.0.elapsed().as_secs_f64();
        let Some(log) = &mut self.log else {
            return Ok(());
        };
        writeln!(
            log,
            "{},{loss:.6},{norm:.4},{rate:.3e},{speed:.2}",
            self.step
        )
        .map_err(Error::io(&self.folder))?;
        self.bar.set_position(self.step as u64);
        let message = format!("loss {:.4} {speed:.1} images/s", self.running_loss);
        if self.bar.is_hidden() && self.step.is_multiple_of(50) {
            println!("{}/{} {message}", self.step, self.optimization.steps);
        }
        self.bar.set_message(message);
        Ok(())
    }

    /// Writes a checkpoint beside the old one, then swaps them, so that there is a whole one at any
    /// moment. Rank 0 does.
    fn save(&self, name: &str) -> Result<()> {
        if !ranks::is_first() {
            return Ok(());
        }
        let new = self.folder.join(format!("{name}.new"));
        let old = self.folder.join(format!("{name}.old"));
        let _ = fs::remove_dir_all(&new);
        fs::create_dir_all(&new).map_err(Error::io(&new))?;
        self.module
            .clone()
            .into_record()
            .save(new.join("module.bpk"))
            .map_err(|e| damaged(&new, format!("{e:?}")))?;
        self.optimizer
            .to_record()
            .save(new.join("optimizer.bpk"))
            .map_err(|e| damaged(&new, format!("{e:?}")))?;
        self.ema.save(&new.join("ema.safetensors"))?;
        for average in &self.averages {
            average.save(&new.join(average_name(average.decay)))?;
        }
        let state = State {
            step: self.step,
            running_loss: self.running_loss,
            loss_scale: self.loss_scale,
            optimization: self.optimization.clone(),
        };
        let state = serde_json::to_vec_pretty(&state).expect("plain numbers");
        fs::write(new.join("state.json"), state).map_err(Error::io(&new))?;
        let current = self.folder.join(name);
        let _ = fs::remove_dir_all(&old);
        if current.exists() {
            fs::rename(&current, &old).map_err(Error::io(&current))?;
        }
        fs::rename(&new, &current).map_err(Error::io(&current))?;
        let _ = fs::remove_dir_all(&old);
        Ok(())
    }

    fn resume(&mut self) -> Result<()> {
        let folder = self.checkpoint();
        let state = fs::read(folder.join("state.json")).map_err(Error::io(&folder))?;
        let state: State = serde_json::from_slice(&state).map_err(|e| damaged(&folder, e))?;
        let record = ModuleRecord::load(folder.join("module.bpk"))
            .map_err(|e| damaged(&folder, format!("{e:?}")))?;
        self.module = self
            .module
            .clone()
            .try_load_record(record)
            .map_err(|e| damaged(&folder, format!("{e:?}")))?;
        let record = OptimizerRecord::load(folder.join("optimizer.bpk"))
            .map_err(|e| damaged(&folder, format!("{e:?}")))?;
        self.optimizer = self.optimizer.clone().load_record(record);
        self.ema = Ema::open(&folder.join("ema.safetensors"), self.optimization.ema_decay)?;
        for average in &mut self.averages {
            let path = folder.join(average_name(average.decay));
            if path.exists() {
                *average = Ema::open(&path, average.decay)?;
            } else {
                // This length is new: it starts from here.
                *average = Ema::new(&self.module, average.decay);
            }
        }
        self.step = state.step;
        self.running_loss = state.running_loss;
        self.loss_scale = state.loss_scale;
        Ok(())
    }
}

/// Sum of the squares of all weights.
struct Norm(f64);

impl ModuleVisitor for Norm {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0 += sum_of_squares(&param.val().inner());
    }
}

struct SquaredNorm<'a> {
    grads: &'a GradientsParams,
    sum: f64,
}

impl ModuleVisitor for SquaredNorm<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.get::<D>(param.id) {
            self.sum += sum_of_squares(&grad);
        }
    }
}

struct Scale<'a> {
    grads: &'a mut GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.remove::<D>(param.id) {
            self.grads.register(param.id, grad * self.factor);
        }
    }
}

/// L2 norm of all gradients together.
fn norm(module: &impl Module, grads: &GradientsParams) -> f64 {
    let mut squared = SquaredNorm { grads, sum: 0.0 };
    module.visit(&mut squared);
    squared.sum.sqrt()
}

/// What to multiply all gradients by so that their L2 norm is at most `max_norm` (torch's
/// `clip_grad_norm_`; burn's own clipping looks at one tensor at a time).
fn clipping(norm: f64, max_norm: f64) -> f64 {
    if norm > max_norm {
        max_norm / (norm + 1e-6)
    } else {
        1.0
    }
}
