//! What is made of a weight once, and kept as long as the weight is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use super::panels::Panels;
use burn::tensor::Bytes;
use burn_flex::FlexTensor;

/// Bytes that may be kept; what is made of more weights than that is made again each time.
/// Winograd's tiles take four times the weights, and a model for this engine has some ten million
/// of them.
const BUDGET: usize = 512 << 20;

/// What a weight is made into.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum PanelLayout {
    /// A linear layer's.
    Linear,
    /// Of a linear layer whose output gates itself.
    Gated,
    /// A convolution's, tap by tap.
    Taps,
    /// A 3x3 convolution's for output tiles of this side.
    Winograd(usize),
}

struct Entry {
    /// Bytes that change are moved away from their weak pointers, so that an entry whose pointer
    /// leads somewhere is of those very values.
    weight: Weak<Bytes>,
    made: Arc<Panels>,
    bytes: usize,
}

/// Where a weight lies, where it begins there, and what it is made into.
type Key = (usize, usize, PanelLayout);

static MADE: Mutex<Option<HashMap<Key, Entry>>> = Mutex::new(None);

/// `make(weight)`, or what it gave before.
pub fn made(
    weight: &FlexTensor,
    layout: PanelLayout,
    make: impl FnOnce(&[f32]) -> Panels,
) -> Arc<Panels> {
    let weight = weight.to_contiguous();
    let Some(values) = super::tensor::values(&weight) else {
        return Arc::new(make(&[])); // contiguous it is
    };
    let data = weight.data_arc();
    let key = (
        Arc::as_ptr(&data) as usize,
        weight.layout().start_offset(),
        layout,
    );
    let mut lock = MADE.lock().unwrap_or_else(|e| e.into_inner());
    let entries = lock.get_or_insert_default();
    if let Some(entry) = entries.get(&key)
        && entry.weight.strong_count() > 0
    {
        return entry.made.clone();
    }
    drop(lock);
    let made = Arc::new(make(values));
    let bytes = made.bytes();
    let mut lock = MADE.lock().unwrap_or_else(|e| e.into_inner());
    let entries = lock.get_or_insert_default();
    entries.retain(|_, entry| entry.weight.strong_count() > 0);
    let kept: usize = entries.values().map(|entry| entry.bytes).sum();
    if kept + bytes <= BUDGET {
        let weight = Arc::downgrade(&data);
        let made = made.clone();
        entries.insert(
            key,
            Entry {
                weight,
                made,
                bytes,
            },
        );
    }
    made
}
