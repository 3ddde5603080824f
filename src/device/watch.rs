//! What work asks of a GPU: how often it launches a kernel, and how much memory it holds at the
//! most.

use burn::tensor::Device;
use cubecl::dry_run::DryRun;
use cubecl::logging::{LaunchObservation, LaunchObserver};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// What was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Launches of kernels, burn's and ours.
    pub launches: u64,
    /// Most bytes that tensors had at once.
    pub in_use: u64,
    /// Most bytes of buffers that the allocator held at once, for tensors and for reuse.
    pub reserved: u64,
}

/// Watches every launch while it lives. For measurements: it asks the allocator at each.
pub struct Watch {
    seen: Arc<Seen>,
    _observation: LaunchObservation,
    _dry_run: Option<DryRun>,
}

struct Seen {
    device: Device,
    launches: AtomicU64,
    in_use: AtomicU64,
    reserved: AtomicU64,
}

impl LaunchObserver for Seen {
    fn launched(&self, _kernel: &'static str) {
        self.launches.fetch_add(1, Relaxed);
        self.look();
    }
}

impl Seen {
    fn look(&self) {
        if let Some(usage) = self.device.memory_pool_usage() {
            self.in_use.fetch_max(usage.bytes_in_use, Relaxed);
            self.reserved.fetch_max(usage.bytes_reserved, Relaxed);
        }
    }
}

impl Watch {
    /// Begins to watch, in a `dry_run` where that is wanted: kernels are compiled and buffers
    /// counted, and nothing is computed.
    pub fn new(device: &Device, dry_run: bool) -> Self {
        let seen = Arc::new(Seen {
            device: device.clone(),
            launches: AtomicU64::new(0),
            in_use: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
        });
        Self {
            _observation: LaunchObservation::new(seen.clone()),
            _dry_run: dry_run.then(DryRun::new),
            seen,
        }
    }

    /// What was seen until now.
    pub fn usage(&self) -> Usage {
        self.seen.look();
        Usage {
            launches: self.seen.launches.load(Relaxed),
            in_use: self.seen.in_use.load(Relaxed),
            reserved: self.seen.reserved.load(Relaxed),
        }
    }
}
