//! Matrix products in bf16 with sums in f32, where the processor has AVX512-BF16: `vdpbf16ps`
//! multiplies pairs of values and adds both products to one sum.
//!
//! Both sides are rounded and laid out in pairs first, the right one by strips of a tile's columns;
//! the innermost loop is that of [`super::super::tile`], with pairs in place of values.

use super::super::{each, filled_chunks, share, threads};
use std::arch::x86_64::*;
use std::sync::LazyLock;

/// Values of a vector.
const LANES: usize = 16;
/// Columns of a tile, in two vectors.
const COLUMNS: usize = 2 * LANES;
/// Rows of a tile.
const ROWS: usize = 8;
/// Rows that go through the strips together, as in [`super::super::product`].
const CHUNK: usize = 64;
/// Pairs of positions whose values stay in the nearest caches while every tile takes them.
const BLOCK: usize = 128;

type Tile = [[__m512; 2]; ROWS];

/// The instructions are there.
#[derive(Clone, Copy, Debug)]
pub struct Bf16(());

/// The right side of a product, `[strip, pair of rows, columns of a tile]`.
pub struct Pairs {
    values: Vec<u32>,
    /// Pairs of a column, the last of which has a zero where the rows are odd.
    pairs: usize,
}

impl Pairs {
    fn strip(&self, i: usize) -> &[u32] {
        let size = self.pairs * COLUMNS;
        &self.values[i * size..][..size]
    }
}

impl Bf16 {
    /// Where this processor has them and is faster with them. Intel's issue `vdpbf16ps` half as
    /// often as a multiply-add of f32, which leaves no gain; AMD's as often.
    pub fn try_new() -> Option<Self> {
        static FASTER: LazyLock<bool> = LazyLock::new(|| {
            let vendor = __cpuid(0);
            let amd = [*b"Auth", *b"enti", *b"cAMD"].map(u32::from_le_bytes);
            [vendor.ebx, vendor.edx, vendor.ecx] == amd && Bf16::is_supported()
        });
        FASTER.then_some(Self(()))
    }

    fn is_supported() -> bool {
        is_x86_feature_detected!("avx512bf16")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
    }

    /// Of a matrix `[depth, columns]`.
    pub fn of_rows(self, matrix: &[f32], [depth, columns]: [usize; 2]) -> Pairs {
        let pairs = depth.div_ceil(2);
        let mut values = vec![0; columns.div_ceil(COLUMNS) * pairs * COLUMNS];
        for (pair, lines) in matrix.chunks(2 * columns).enumerate() {
            let (low, high) = lines.split_at(columns);
            // SAFETY: the processor has the instructions, as there is a `Bf16`.
            unsafe { tiles::<COLUMNS>([low, high], [pair, pairs], &mut values) };
        }
        Pairs { values, pairs }
    }

    /// Of a matrix `[columns, depth]`.
    pub fn of_columns(self, matrix: &[f32], [depth, columns]: [usize; 2]) -> Pairs {
        let pairs = depth.div_ceil(2);
        let mut values = vec![0; columns.div_ceil(COLUMNS) * pairs * COLUMNS];
        let mut line = vec![0; pairs];
        for (column, matrix) in matrix.chunks_exact(depth).enumerate() {
            // SAFETY: the processor has the instructions, as there is a `Bf16`.
            unsafe { along(matrix, &mut line) };
            let strip = &mut values[column / COLUMNS * pairs * COLUMNS..][..pairs * COLUMNS];
            for (out, value) in strip.chunks_exact_mut(COLUMNS).zip(&line) {
                out[column % COLUMNS] = *value;
            }
        }
        Pairs { values, pairs }
    }

    /// `rows * panels + shift + residual`, `[count, columns]`, of rows `[count, depth]`; nothing is
    /// added where `shift` or `residual` is empty.
    pub fn product(
        self,
        rows: &[f32],
        panels: &Pairs,
        [shift, residual]: [&[f32]; 2],
        [count, depth, columns]: [usize; 3],
    ) -> Vec<f32> {
        let chunk = share(count, panels.values.len());
        let chunk = chunk.next_multiple_of(ROWS).min(CHUNK);
        filled_chunks(count * columns, chunk * columns, |i, out| {
            let first = i * chunk;
            let rows = rows[first * depth..].chunks_exact(depth);
            let added = [shift, residual.get(first * columns..).unwrap_or_default()];
            // SAFETY: the processor has the instructions, as there is a `Bf16`.
            unsafe { finished(rows, panels, added, out, columns) }
        })
    }

    /// `sum_i left[i]^T right[i]`, `[depth, columns]`, of `[count, depth]` and `[count, columns]`.
    pub fn transposed(self, left: &[f32], right: &[f32], [depth, columns]: [usize; 2]) -> Vec<f32> {
        let mut sums = vec![0.0; depth * columns];
        // Every task lays out the right side for itself.
        let lines = depth.div_ceil(threads()).next_multiple_of(ROWS);
        let tasks: Vec<&mut [f32]> = sums.chunks_mut((lines * columns).max(1)).collect();
        each(tasks, |task, sums| {
            let first = task * lines;
            let left = left.chunks_exact(depth);
            let lines = sums.len() / columns;
            let left = left.map(|line| &line[first..first + lines]);
            // SAFETY: the processor has the instructions, as there is a `Bf16`.
            unsafe { accumulate(left, right.chunks_exact(columns), sums, columns) }
        });
        sums
    }
}

/// [`Bf16::product`] of some rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
fn finished<'a>(
    rows: impl Iterator<Item = &'a [f32]>,
    panels: &Pairs,
    [shift, residual]: [&[f32]; 2],
    out: &mut [f32],
    columns: usize,
) {
    let pairs = panels.pairs;
    let count = out.len() / columns;
    let mut left = vec![0; count.next_multiple_of(ROWS) * pairs];
    let mut line = vec![0; pairs];
    for (i, row) in rows.take(count).enumerate() {
        along(row, &mut line);
        let tile = &mut left[i / ROWS * ROWS * pairs..][..ROWS * pairs];
        for (values, value) in tile.as_chunks_mut::<ROWS>().0.iter_mut().zip(&line) {
            values[i % ROWS] = *value;
        }
    }
    for column in (0..columns).step_by(COLUMNS) {
        let strip = panels.strip(column / COLUMNS);
        let width = COLUMNS.min(columns - column);
        let shift = part(shift, column, width);
        for row in (0..count).step_by(ROWS) {
            let tile = multiply(&left[row * pairs..][..ROWS * pairs], strip);
            for (r, sums) in tile.into_iter().enumerate().take(count - row) {
                let at = (row + r) * columns + column;
                let added = [shift, part(residual, at, width)];
                write(&mut out[at..at + width], added, sums);
            }
        }
    }
}

/// [`Bf16::transposed`] of some columns of the left side, added to `sums`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
fn accumulate<'a>(
    left: impl Iterator<Item = &'a [f32]>,
    right: impl Iterator<Item = &'a [f32]>,
    sums: &mut [f32],
    columns: usize,
) {
    let lines = sums.len() / columns;
    let mut a = vec![0; lines.next_multiple_of(ROWS) * BLOCK];
    let mut b = vec![0; columns.next_multiple_of(COLUMNS) * BLOCK];
    let mut positions = left.zip(right);
    loop {
        let mut pairs = 0;
        while pairs < BLOCK
            && let Some(low) = positions.next()
        {
            let high = positions.next().unwrap_or_default();
            tiles::<ROWS>([low.0, high.0], [pairs, BLOCK], &mut a);
            tiles::<COLUMNS>([low.1, high.1], [pairs, BLOCK], &mut b);
            pairs += 1;
        }
        if pairs == 0 {
            return;
        }
        for column in (0..columns).step_by(COLUMNS) {
            let strip = &b[column * BLOCK..][..pairs * COLUMNS];
            let width = COLUMNS.min(columns - column);
            for row in (0..lines).step_by(ROWS) {
                let tile = multiply(&a[row * BLOCK..][..pairs * ROWS], strip);
                for (r, tile) in tile.into_iter().enumerate().take(lines - row) {
                    add(&mut sums[(row + r) * columns + column..][..width], tile);
                }
            }
        }
    }
}

/// Pairs of the values of two lines, as pair `pair` of every tile, `[tile, pairs, N]`; of zeros
/// where the second line is empty.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
fn tiles<const N: usize>([low, high]: [&[f32]; 2], [pair, pairs]: [usize; 2], out: &mut [u32]) {
    let tiles = out.chunks_exact_mut(pairs * N);
    for (tile, (i, low)) in tiles.zip(low.chunks(N).enumerate()) {
        let out = &mut tile[pair * N..][..low.len()];
        between(low, part(high, i * N, low.len()), out);
    }
}

/// So many values from `at` on; none where there are none.
fn part(values: &[f32], at: usize, width: usize) -> &[f32] {
    values.get(at..at + width).unwrap_or_default()
}

/// The first `count` lanes.
fn mask(count: usize) -> u16 {
    ((1u32 << count.min(LANES)) - 1) as u16
}

/// The vector at `at`, zeros past the end.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
fn load(values: &[f32], at: usize) -> __m512 {
    let rest = values.get(at..).unwrap_or_default();
    // SAFETY: no lane past the end is read.
    unsafe {
        match rest.len() {
            0 => _mm512_setzero_ps(), // where nothing is, a masked load takes 100 times as long
            1..LANES => _mm512_maskz_loadu_ps(mask(rest.len()), rest.as_ptr()),
            _ => _mm512_loadu_ps(rest.as_ptr()),
        }
    }
}

/// Writes the vector to `at`, what is past the end excepted. A write with a mask takes many times
/// as long on Zen 4, so whole vectors go without.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
fn store<T>(values: &mut [T], at: usize, vector: __m512i) {
    const { assert!(size_of::<T>() == 4) };
    let rest = values.get_mut(at..).unwrap_or_default();
    let to = rest.as_mut_ptr().cast();
    // SAFETY: no lane past the end is written.
    unsafe {
        if rest.len() < LANES {
            _mm512_mask_storeu_epi32(to, mask(rest.len()), vector);
        } else {
            _mm512_storeu_epi32(to, vector);
        }
    }
}

/// Each value, rounded, in the lower half of a lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
fn rounded(values: &[f32], at: usize) -> __m512i {
    // SAFETY: both are 256 bits without a meaning of their own.
    let halves: __m256i = unsafe { std::mem::transmute(_mm512_cvtneps_pbh(load(values, at))) };
    _mm512_cvtepu16_epi32(halves)
}

/// `out[i]` has `low[i]` and `high[i]`, or zero where `high` is shorter.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
fn between(low: &[f32], high: &[f32], out: &mut [u32]) {
    for at in (0..out.len()).step_by(LANES) {
        let high = _mm512_slli_epi32::<16>(rounded(high, at));
        store(out, at, _mm512_or_si512(rounded(low, at), high));
    }
}

/// `out[i]` has `line[2 i]` and `line[2 i + 1]`, or zero where the line is shorter.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
fn along(line: &[f32], out: &mut [u32]) {
    for at in (0..out.len()).step_by(LANES) {
        let [low, high] = [load(line, 2 * at), load(line, 2 * at + LANES)];
        let pairs = _mm512_cvtne2ps_pbh(high, low);
        // SAFETY: both are 512 bits without a meaning of their own.
        store(out, at, unsafe {
            std::mem::transmute::<__m512bh, __m512i>(pairs)
        });
    }
}

/// The products of a tile's rows and a strip, `[pairs, rows]` and `[pairs, columns]`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
fn multiply(rows: &[u32], strip: &[u32]) -> Tile {
    let mut tile = [[_mm512_setzero_ps(); 2]; ROWS];
    let (rows, _) = rows.as_chunks::<ROWS>();
    let (strip, _) = strip.as_chunks::<COLUMNS>();
    for (values, columns) in rows.iter().zip(strip) {
        // SAFETY: the vectors lie within `columns`.
        let [x, y] =
            unsafe { [0, LANES].map(|at| _mm512_loadu_epi32(columns.as_ptr().add(at).cast())) };
        let [x, y] = [x, y].map(bf16);
        for (sums, value) in tile.iter_mut().zip(values) {
            let value = bf16(_mm512_set1_epi32(value.cast_signed()));
            sums[0] = _mm512_dpbf16_ps(sums[0], value, x);
            sums[1] = _mm512_dpbf16_ps(sums[1], value, y);
        }
    }
    tile
}

/// Pairs as the multiplication has them.
#[inline(always)]
fn bf16(pairs: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits without a meaning of their own.
    unsafe { std::mem::transmute(pairs) }
}

/// Writes the sums of a row, plus what is added.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
fn write(out: &mut [f32], added: [&[f32]; 2], sums: [__m512; 2]) {
    for (v, mut sum) in sums.into_iter().enumerate() {
        for added in added {
            sum = _mm512_add_ps(sum, load(added, v * LANES));
        }
        store(out, v * LANES, _mm512_castps_si512(sum));
    }
}

/// Adds the sums to those of a row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
fn add(line: &mut [f32], sums: [__m512; 2]) {
    for (v, sum) in sums.into_iter().enumerate() {
        let sum = _mm512_add_ps(sum, load(line, v * LANES));
        store(line, v * LANES, _mm512_castps_si512(sum));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        let value = |i: usize| ((i * 37 + seed * 11) % 101) as f32 / 50.0 - 1.0;
        (0..count).map(value).collect()
    }

    /// Largest difference, over the sum of the absolute terms: that is what two factors' rounding
    /// is in proportion to, while the sums themselves can cancel.
    fn worst(found: &[f32], terms: impl Fn(usize) -> Vec<f64>) -> f64 {
        let errors = found.iter().enumerate().map(|(i, found)| {
            let terms = terms(i);
            let size: f64 = terms.iter().map(|t| t.abs()).sum();
            (f64::from(*found) - terms.iter().sum::<f64>()).abs() / size.max(1e-6)
        });
        errors.fold(0.0, f64::max)
    }

    #[test]
    fn products_are_those_in_f32_but_for_the_digits() {
        /// Both factors are rounded to 8 significant bits, half a unit of the last each.
        const ROUNDING: f64 = 2.0 / 256.0;
        if !Bf16::is_supported() {
            println!("this processor has no AVX512-BF16");
            return;
        }
        let bf16 = Bf16(());
        for [count, depth, columns] in [[1, 1, 1], [9, 7, 33], [131, 64, 97], [70, 131, 31]] {
            let (x, weight) = (values(count * depth, 1), values(depth * columns, 2));
            let (shift, residual) = (values(columns, 3), values(count * columns, 4));
            let at = |i: usize| -> Vec<f64> {
                let (row, column) = (i / columns, i % columns);
                let term =
                    |k| f64::from(x[row * depth + k]) * f64::from(weight[k * columns + column]);
                let added = [shift[column], residual[i]].map(f64::from);
                (0..depth).map(term).chain(added).collect()
            };
            let shape = [count, depth, columns];
            let panels = bf16.of_rows(&weight, [depth, columns]);
            let found = bf16.product(&x, &panels, [&shift, &residual], shape);
            let error = worst(&found, at);
            assert!(error < ROUNDING, "{shape:?}: {error}");

            let turned: Vec<f32> = (0..columns * depth)
                .map(|i| weight[i % depth * columns + i / depth])
                .collect();
            let panels = bf16.of_columns(&turned, [depth, columns]);
            assert_eq!(bf16.product(&x, &panels, [&shift, &residual], shape), found);

            let dy = values(count * columns, 5);
            let found = bf16.transposed(&x, &dy, [depth, columns]);
            let error = worst(&found, |i| {
                let (k, column) = (i / columns, i % columns);
                let term =
                    |row| f64::from(x[row * depth + k]) * f64::from(dy[row * columns + column]);
                (0..count).map(term).collect()
            });
            assert!(error < ROUNDING, "{shape:?}: {error}");
        }
    }
}
