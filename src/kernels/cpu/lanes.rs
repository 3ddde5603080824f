//! The vectors of this processor, and how many a tile of a product has.

use pulp::{Simd, WithSimd};

/// Vectors of columns of a tile.
pub const VECTORS: usize = 2;

/// How many vectors a product is computed with: 16 lanes where the processor has them and the
/// columns fill them, else those of every other operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lanes {
    /// AVX2, NEON, or a browser's SIMD.
    Usual,
    /// AVX-512.
    Wide,
}

impl Lanes {
    /// For a product with this many columns.
    pub fn of(columns: usize) -> Self {
        if columns > Self::Usual.columns() && is_wide() {
            Self::Wide
        } else {
            Self::Usual
        }
    }

    /// Columns of a tile.
    pub fn columns(self) -> usize {
        struct Columns;
        impl WithSimd for Columns {
            type Output = usize;
            fn with_simd<S: Simd>(self, _: S) -> usize {
                VECTORS * S::F32_LANES
            }
        }
        vectorized(self, Columns)
    }

    /// Rows of a tile, as [`super::tile::tiled`] has them: fewer take as long.
    pub fn rows(self) -> usize {
        match self.columns() / VECTORS {
            16 => 8,
            _ => 4,
        }
    }
}

/// Whether the processor has AVX-512.
fn is_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    return pulp::x86::V4::try_new().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Runs with vectors of this processor.
pub fn vectorized<Op: WithSimd>(lanes: Lanes, op: Op) -> Op::Output {
    #[cfg(target_arch = "x86_64")]
    if lanes == Lanes::Wide
        && let Some(simd) = pulp::x86::V4::try_new()
    {
        return pulp::Simd::vectorize(simd, op);
    }
    // One after another and no `Arch::dispatch`, which would compile everything for each of them
    // once more.
    #[cfg(target_arch = "x86_64")]
    return match pulp::x86::V3::try_new() {
        Some(simd) => pulp::Simd::vectorize(simd, op),
        None => pulp::Simd::vectorize(pulp::Scalar, op),
    };
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = lanes; // there is one kind
        pulp::Arch::new().dispatch(op)
    }
}
