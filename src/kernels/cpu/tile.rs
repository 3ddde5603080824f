//! The innermost loop of every product: a few rows against two vectors of columns, all sums in
//! registers.
//!
//! A browser's SIMD has 15 registers to give: four rows take eight sums, two columns and a value.
//! AVX-512 has 32: eight rows take 16 sums, so that a step of 16 multiply-adds loads ten times.

use super::lanes::{Lanes, VECTORS, vectorized};
use pulp::{Simd, WithSimd};

/// The sums of `R` rows and [`VECTORS`] vectors of columns.
pub type Tile<S, const R: usize> = [[<S as Simd>::f32s; VECTORS]; R];

/// Something that runs with tiles of `R` rows.
pub trait WithTiles {
    /// With this processor's vectors.
    fn run<S: Simd, const R: usize>(self, simd: S);
}

/// Runs with tiles of as many rows as the processor's registers hold.
pub fn tiled<Op: WithTiles>(lanes: Lanes, op: Op) {
    struct Rows<Op>(Op);
    impl<Op: WithTiles> WithSimd for Rows<Op> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            match S::F32_LANES {
                16 => self.0.run::<S, 8>(simd),
                _ => self.0.run::<S, 4>(simd),
            }
        }
    }
    vectorized(lanes, Rows(op))
}

/// Sums of nothing.
#[inline(always)]
pub fn zeros<S: Simd, const R: usize>(simd: S) -> Tile<S, R> {
    [[simd.splat_f32s(0.0); VECTORS]; R]
}

/// `tile[r] + sum_k rows[r][k] * panel[k]`, `panel` as `[k, columns]`; `R` is 4 or 8.
#[inline(always)]
pub fn multiply<S: Simd, const R: usize>(
    simd: S,
    mut tile: Tile<S, R>,
    rows: [&[f32]; R],
    panel: &[f32],
) -> Tile<S, R> {
    let (panel, _) = S::as_simd_f32s(panel);
    let (panel, _) = panel.as_chunks::<VECTORS>();
    // One step after another: a browser's compiler keeps fewer sums in registers when this is
    // unrolled, and takes 1.5 times as long. The sums by name, as a build for tests does not take
    // arrays apart.
    macro_rules! steps {
        ($($row:ident $left:ident $right:ident $r:literal),*; $zipped:expr, $pattern:pat) => {{
            $(let [mut $left, mut $right] = tile[$r];)*
            for ($pattern, columns) in $zipped.zip(panel) {
                let [x, y] = *columns;
                $(
                    let value = simd.splat_f32s(*$row);
                    $left = simd.mul_add_e_f32s(value, x, $left);
                    $right = simd.mul_add_e_f32s(value, y, $right);
                )*
            }
            $(tile[$r] = [$left, $right];)*
        }};
    }
    match R {
        4 => {
            let (a, b, c, d) = (rows[0], rows[1], rows[2], rows[3]);
            steps!(a a0 a1 0, b b0 b1 1, c c0 c1 2, d d0 d1 3;
                a.iter().zip(b).zip(c).zip(d), (((a, b), c), d));
        }
        _ => {
            let (a, b, c, d) = (rows[0], rows[1], rows[2], rows[3]);
            let (e, f, g, h) = (rows[4], rows[5], rows[6], rows[7]);
            steps!(a a0 a1 0, b b0 b1 1, c c0 c1 2, d d0 d1 3,
                e e0 e1 4, f f0 f1 5, g g0 g1 6, h h0 h1 7;
                a.iter().zip(b).zip(c).zip(d).zip(e).zip(f).zip(g).zip(h),
                (((((((a, b), c), d), e), f), g), h));
        }
    }
    tile
}

/// As [`multiply`] for the first vector of columns only, where a panel has values in no other.
#[inline(always)]
pub fn multiply_narrow<S: Simd, const R: usize>(
    simd: S,
    rows: [&[f32]; R],
    panel: &[f32],
) -> Tile<S, R> {
    let mut tile = zeros::<S, R>(simd);
    let (panel, _) = S::as_simd_f32s(panel);
    let (panel, _) = panel.as_chunks::<VECTORS>();
    macro_rules! steps {
        ($($row:ident $sum:ident $r:literal),*; $zipped:expr, $pattern:pat) => {{
            $(let mut $sum = tile[$r][0];)*
            for ($pattern, columns) in $zipped.zip(panel) {
                $($sum = simd.mul_add_e_f32s(simd.splat_f32s(*$row), columns[0], $sum);)*
            }
            $(tile[$r][0] = $sum;)*
        }};
    }
    let (a, b, c, d) = (rows[0], rows[1], rows[2], rows[3]);
    match R {
        4 => steps!(a s0 0, b s1 1, c s2 2, d s3 3;
            a.iter().zip(b).zip(c).zip(d), (((a, b), c), d)),
        _ => {
            let (e, f, g, h) = (rows[4], rows[5], rows[6], rows[7]);
            steps!(a s0 0, b s1 1, c s2 2, d s3 3, e s4 4, f s5 5, g s6 6, h s7 7;
                a.iter().zip(b).zip(c).zip(d).zip(e).zip(f).zip(g).zip(h),
                (((((((a, b), c), d), e), f), g), h));
        }
    }
    tile
}

/// Lines of values, which lie anywhere.
#[cfg(feature = "training")]
pub trait Lines {
    /// Line `i`.
    fn line(&self, i: usize) -> &[f32];
}

/// Lines that lie at one distance from another.
#[cfg(feature = "training")]
pub struct Strided<'a> {
    /// From the first value of the first line on.
    pub values: &'a [f32],
    /// From the beginning of a line to that of the next.
    pub stride: usize,
    /// Values of a line.
    pub width: usize,
}

#[cfg(feature = "training")]
impl Lines for Strided<'_> {
    #[inline(always)]
    fn line(&self, i: usize) -> &[f32] {
        &self.values[i * self.stride..][..self.width]
    }
}

#[cfg(feature = "training")]
impl Lines for &[&[f32]] {
    #[inline(always)]
    fn line(&self, i: usize) -> &[f32] {
        self[i]
    }
}

/// `tile[r] + sum_i left[i][row + r] * right[i]` for the vectors of `right` from `column` on, and
/// `count` lines; `R` is 1, 4 or 8.
#[cfg(feature = "training")]
#[inline(always)]
pub fn outer<S: Simd, const R: usize>(
    simd: S,
    mut tile: Tile<S, R>,
    count: usize,
    (left, row): (&impl Lines, usize),
    (right, column): (&impl Lines, usize),
) -> Tile<S, R> {
    let width = VECTORS * S::F32_LANES;
    let is_whole = count > 0 && column + width <= right.line(0).len();
    macro_rules! steps {
        ($vectors:ident; $($left:ident $right:ident $r:literal),*) => {{
            $(let [mut $left, mut $right] = tile[$r];)*
            for i in 0..count {
                let values: &[f32; R] = left.line(i)[row..].first_chunk().expect("whole rows");
                let [x, y] = $vectors::<S>(simd, right.line(i), column);
                $(
                    let value = simd.splat_f32s(values[$r]);
                    $left = simd.mul_add_e_f32s(value, x, $left);
                    $right = simd.mul_add_e_f32s(value, y, $right);
                )*
            }
            $(tile[$r] = [$left, $right];)*
        }};
        ($($names:tt)*) => {
            if is_whole { steps!(whole; $($names)*) } else { steps!(partial; $($names)*) }
        };
    }
    match R {
        1 => steps!(a0 a1 0),
        4 => steps!(a0 a1 0, b0 b1 1, c0 c1 2, d0 d1 3),
        _ => steps!(a0 a1 0, b0 b1 1, c0 c1 2, d0 d1 3, e0 e1 4, f0 f1 5, g0 g1 6, h0 h1 7),
    }
    tile
}

/// Both vectors at `at`, all of which are there.
#[cfg(feature = "training")]
#[inline(always)]
fn whole<S: Simd>(_: S, values: &[f32], at: usize) -> [S::f32s; VECTORS] {
    let (vectors, _) = S::as_simd_f32s(&values[at..at + VECTORS * S::F32_LANES]);
    [vectors[0], vectors[1]]
}

/// Both vectors at `at`, zeros past the end.
#[cfg(feature = "training")]
#[inline(always)]
fn partial<S: Simd>(simd: S, values: &[f32], at: usize) -> [S::f32s; VECTORS] {
    [
        load(simd, values, at),
        load(simd, values, at + S::F32_LANES),
    ]
}

/// The vector at `at`, zeros past the end.
#[inline(always)]
pub fn load<S: Simd>(simd: S, values: &[f32], at: usize) -> S::f32s {
    match values.get(at..at + S::F32_LANES) {
        Some(whole) => S::as_simd_f32s(whole).0[0],
        None => simd.partial_load_f32s(values.get(at..).unwrap_or_default()),
    }
}

/// Writes the vector to `at`, what is past the end excepted.
#[inline(always)]
pub fn store<S: Simd>(simd: S, values: &mut [f32], at: usize, vector: S::f32s) {
    match values.get_mut(at..at + S::F32_LANES) {
        Some(whole) => S::as_mut_simd_f32s(whole).0[0] = vector,
        None => simd.partial_store_f32s(values.get_mut(at..).unwrap_or_default(), vector),
    }
}
