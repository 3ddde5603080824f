//! Which of an operation's ways is taken, and which tiles: what benchmarks and tests choose.

#[cfg(any(feature = "gpu", feature = "testing"))]
use crate::device::adapter::AdapterClass;
#[cfg(feature = "testing")]
use std::sync::{
    RwLock,
    atomic::{AtomicBool, Ordering},
};

#[cfg(feature = "testing")]
static PLAIN: AtomicBool = AtomicBool::new(false);
#[cfg(feature = "testing")]
static TILES: RwLock<Option<AdapterClass>> = RwLock::new(None);

/// From now on only the plain operations are taken, or the kernels again where they can run: what a
/// benchmark compares.
#[cfg(feature = "testing")]
pub fn take_plain(plain: bool) {
    PLAIN.store(plain, Ordering::Relaxed);
}

#[cfg(any(feature = "cpu", feature = "gpu"))]
pub(super) fn is_plain() -> bool {
    #[cfg(feature = "testing")]
    return PLAIN.load(Ordering::Relaxed);
    #[cfg(not(feature = "testing"))]
    false
}

/// From now on tiles are those for a class of adapters, whatever the adapter is: each class is
/// tested everywhere.
#[cfg(feature = "testing")]
pub fn take_tiles_of(class: AdapterClass) {
    *TILES.write().unwrap_or_else(|e| e.into_inner()) = Some(class);
}

/// The class whose tiles are taken.
#[cfg(feature = "gpu")]
pub(crate) fn class() -> AdapterClass {
    #[cfg(feature = "testing")]
    if let Some(chosen) = *TILES.read().unwrap_or_else(|e| e.into_inner()) {
        return chosen;
    }
    crate::device::adapter::adapter_class()
}
