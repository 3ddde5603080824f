//! How much of an output one workgroup, and one of its units, computes.
//!
//! A GPU shares what it reads within a workgroup: tiles in workgroup memory, two barriers for each
//! step along the sum. A software adapter (SwiftShader, lavapipe) runs units one after another in
//! vector lanes, and a barrier costs it more than a read: there each unit keeps a tile in registers
//! and reads for itself.

use crate::device::adapter::AdapterClass;
use crate::kernels::choice::class;

/// A tile of a matrix product `[C_out, K] x [K, P]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Output channels of a workgroup.
    pub channels: usize,
    /// Pixels of a workgroup.
    pub pixels: usize,
    /// Terms of the sum that lie in workgroup memory at once; 0 where nothing does.
    pub depth: usize,
    /// Output channels of a unit.
    pub unit_channels: usize,
    /// Pixels of a unit.
    pub unit_pixels: usize,
}

impl Tile {
    const fn new(channels: usize, pixels: usize, depth: usize, unit: [usize; 2]) -> Self {
        Self {
            channels,
            pixels,
            depth,
            unit_channels: unit[0],
            unit_pixels: unit[1],
        }
    }

    /// Units of a workgroup.
    pub const fn units(&self) -> usize {
        self.channels / self.unit_channels * (self.pixels / self.unit_pixels)
    }

    /// Workgroups for an output `[B, C_out, P]`: along pixels, channels, batch.
    pub fn workgroups(&self, [batch, channels, pixels]: [usize; 3]) -> [usize; 3] {
        [
            pixels.div_ceil(self.pixels),
            channels.div_ceil(self.channels),
            batch,
        ]
    }
}

/// For GPUs, the largest first. 8 KiB of workgroup memory each, 256 units at most: WebGPU's default
/// limits are 16 KiB and 256.
const GPU: [Tile; 3] = [
    Tile::new(128, 128, 8, [8, 8]),
    Tile::new(64, 64, 16, [4, 4]),
    Tile::new(32, 32, 16, [4, 4]),
];

/// Fewer workgroups than this leave parts of a GPU idle, so that a smaller tile is better.
const BUSY: usize = 64;

/// For programs, the one with most pixels first: 8 x 4 sums in registers; where pixels are few,
/// neighbouring units take other channels of the same.
const SOFTWARE: [Tile; 4] = [
    Tile::new(8, 256, 0, [8, 4]),
    Tile::new(32, 64, 0, [8, 4]),
    Tile::new(64, 16, 0, [8, 4]),
    Tile::new(64, 4, 0, [8, 1]),
];

/// The tile for an output `[B, C_out, P]`.
pub fn tile(shape: [usize; 3]) -> Tile {
    match class() {
        AdapterClass::Software => {
            let filled = |tile: &&Tile| tile.pixels <= shape[2];
            *SOFTWARE.iter().find(filled).unwrap_or(&SOFTWARE[3])
        }
        AdapterClass::Gpu => {
            let busy = |tile: &&Tile| tile.workgroups(shape).iter().product::<usize>() >= BUSY;
            *GPU.iter().find(busy).unwrap_or(&GPU[2])
        }
    }
}

/// Whether packed weights are decoded into a buffer of their own before a product, and not by each
/// workgroup as it reads them: a program's units share nothing, so that each would decode the same
/// weights again.
pub fn decodes_first() -> bool {
    class() == AdapterClass::Software
}

/// Units that share the work on a group of `size` values; a power of two.
pub fn norm_units(size: usize) -> usize {
    match class() {
        // As many as vector lanes, which then read neighbours. More where a loop would be long:
        // llvmpipe ends one after 65,535 rounds without a word (gallivm,
        // `LP_MAX_TGSI_LOOP_ITERATIONS`).
        AdapterClass::Software => (size / 8192).next_power_of_two().clamp(8, 256),
        AdapterClass::Gpu => (size / 8).next_power_of_two().clamp(32, 256),
    }
}

/// Tokens of a workgroup of the layer normalisation.
pub const TOKENS: usize = 32;

/// Units for each of its tokens.
pub fn token_slices() -> usize {
    match class() {
        AdapterClass::Software => 1,
        AdapterClass::Gpu => 8,
    }
}

/// Queries of a workgroup of the attention, one for each unit.
pub const QUERIES: usize = 64;

/// Keys that it takes at once: two groups of 8 keys of the widest head are 10 KiB of workgroup
/// memory.
pub const KEYS: usize = 8;

/// Whether a workgroup of the attention reads its keys together.
pub fn shares_keys() -> bool {
    class() == AdapterClass::Gpu
}
