//! Ranks over MPI.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::Mutex;
use std::time::Duration;

use mpi::collective::SystemOperation;
use mpi::environment::{Threading, Universe};
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use roentgen_web::error::{Error, Result};

use super::group::Ranks;

/// Between two looks for a call.
const PAUSE: Duration = Duration::from_millis(20);

/// All processes that one `mpirun` started.
pub struct World {
    rank: usize,
    size: usize,
    universe: Mutex<Option<Universe>>,
}

/// Joins the other processes, `launched` in all. All but rank 0 print nothing from then on but why
/// they fail.
///
/// # Errors
/// [`Error::Device`] if MPI cannot serve a process with threads, or is not the one that started the
/// processes.
pub fn join(launched: usize) -> Result<World> {
    // One thread at a time calls: the one that takes the steps.
    let joined = mpi::initialize_with_threading(Threading::Serialized);
    let (universe, _) = joined
        .filter(|(_, given)| *given >= Threading::Serialized)
        .ok_or_else(|| {
            Error::Device("this MPI lacks MPI_THREAD_SERIALIZED; take another".into())
        })?;
    let [rank, size] = [universe.world().rank(), universe.world().size()].map(|n| n as usize);
    if size != launched {
        return Err(Error::Device(format!(
            "{launched} processes were started and MPI finds {size}; start them with the mpirun of the MPI that `train` was built with"
        )));
    }
    if rank > 0 {
        let path = "/dev/null";
        let null = File::create(path).map_err(Error::io(path))?;
        // SAFETY: both are open, and nothing holds the standard output as its own.
        unsafe { libc::dup2(null.as_raw_fd(), libc::STDOUT_FILENO) };
    }
    let universe = Mutex::new(Some(universe));
    Ok(World {
        rank,
        size,
        universe,
    })
}

fn world() -> SimpleCommunicator {
    SimpleCommunicator::world()
}

impl Ranks for World {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum(&self, values: &mut [f32]) {
        let own = values.to_vec();
        world().all_reduce_into(&own[..], values, SystemOperation::sum());
    }

    fn barrier(&self) {
        world().barrier();
    }

    fn call(&self, join: bool) {
        for rank in 1..self.size {
            world().process_at_rank(rank as i32).send(&u8::from(join));
        }
    }

    fn called(&self) -> bool {
        let (world, mut join) = (world(), 0u8);
        let first = world.process_at_rank(0);
        // A blocking receive would keep a core busy, which rank 0 may need for its preparations.
        while first.immediate_probe().is_none() {
            std::thread::sleep(PAUSE);
        }
        first.receive_into(&mut join);
        join != 0
    }

    fn finish(&self) {
        drop(self.universe.lock().expect("no panic").take());
    }

    fn abort(&self) {
        world().abort(1);
    }
}
