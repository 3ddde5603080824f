//! The processes of one training: one alone, or those that `mpirun` started.
//! `train/docs/distributed.md` says when to use which.
//!
//! Every rank draws the whole batch of a step and computes its own parts of it. Gradients are
//! summed over the ranks, so that all take the same step. Rank 0 alone prints and writes. It also
//! runs ahead until it has opened its training: what it has prepared by then (tokenizer, latents)
//! the others find done.

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Once, OnceLock};
use std::time::Duration;

use roentgen_web::error::{Error, Result};

pub mod all_reduce;
mod group;
#[cfg(feature = "mpi")]
mod mpi;

pub use group::Ranks;

use group::Alone;

/// What a rank that fails leaves each lower one to tell the same.
const TURN: Duration = Duration::from_millis(500);

static WORLD: OnceLock<Box<dyn Ranks>> = OnceLock::new();

/// The ranks of this process's training: [`run`]'s, and a process alone without it.
pub fn world() -> &'static dyn Ranks {
    WORLD.get().map_or(&Alone, |ranks| &**ranks)
}

/// Whether this process is the one that prints and writes.
pub fn is_first() -> bool {
    world().rank() == 0
}

/// Has the other ranks join, once in a process: rank 0 is as far as it can get without them.
pub fn call(join: bool) {
    static CALLED: Once = Once::new();
    if is_first() {
        CALLED.call_once(|| world().call(join));
    }
}

/// Has the other ranks join, and gives those of the items that are this one's to make. What follows
/// them has to wait for all ([`Ranks::barrier`]).
pub fn divided<T>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    call(true);
    let (rank, size) = (world().rank(), world().size());
    items.into_iter().skip(rank).step_by(size).collect()
}

/// Runs `command` on the ranks that `mpirun` started, if it did. A command that trains nothing is
/// run by rank 0 alone.
///
/// # Errors
/// Those of `command`; [`Error::Device`] if `mpirun` started several processes and this build
/// cannot join them.
pub fn run(command: impl FnOnce() -> Result<()>) -> Result<()> {
    if let Some(size) = launched() {
        join(size)?;
    }
    if is_first() || world().called() {
        let done = panic::catch_unwind(AssertUnwindSafe(command));
        if !matches!(done, Ok(Ok(()))) {
            // All ranks see a loss that is not finite. The lowest rank that fails tells it and ends
            // the others as they wait.
            std::thread::sleep(TURN * world().rank().min(10) as u32);
            return done.unwrap_or_else(|panic| panic::resume_unwind(panic));
        }
    }
    call(false);
    world().finish();
    Ok(())
}

/// Ends a process after [`run`]: one that failed takes the other ranks with it.
pub fn end(code: ExitCode) -> ExitCode {
    if code != ExitCode::SUCCESS {
        world().abort();
    }
    code
}

/// How many processes a launcher says that it started, if several.
fn launched() -> Option<usize> {
    // Open MPI's; MPICH's and Intel's; Slurm's.
    let names = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];
    let size = names.iter().find_map(|name| std::env::var(name).ok())?;
    size.parse().ok().filter(|size| *size > 1)
}

#[cfg(feature = "mpi")]
fn join(size: usize) -> Result<()> {
    let ranks = mpi::join(size)?;
    WORLD.get_or_init(|| Box::new(ranks));
    Ok(())
}

#[cfg(not(feature = "mpi"))]
fn join(size: usize) -> Result<()> {
    Err(Error::Device(format!(
        "{size} processes were started and this build trains on one; build it with `--features mpi`, see train/docs/distributed.md"
    )))
}

/// Makes sure that all ranks stand where rank 0 stands.
///
/// # Errors
/// [`Error::Config`], on every rank, naming one that has opened something else in `folder`.
pub fn agree(what: &str, value: f32, folder: &Path) -> Result<()> {
    let found = world().gather(value);
    match found.iter().position(|there| *there != found[0]) {
        None => Ok(()),
        Some(rank) => Err(Error::config(
            folder.display().to_string(),
            format!(
                "{what} is {} on rank 0 and {} on rank {rank}; give all ranks one --folder, on a disk that they share",
                found[0], found[rank]
            ),
        )),
    }
}
