//! Operations that move or mix the values of a map, in the order in which they lie.
//!
//! Maps `[B, C, h, w]` lie pixel by pixel on the CPU and channel by channel on a GPU (see
//! [`crate::kernels`]). burn's own operations copy a map into the order of its shape first, so they
//! are given a view whose shape is in the order of memory.

use burn::prelude::*;

use crate::kernels;

/// Applies `work` to maps as `[B, h, w, C]` with channels at axis 3, or as `[B, C, h, w]` with
/// channels at axis 1.
pub(super) fn in_order<const N: usize>(
    maps: [Tensor<4>; N],
    work: impl FnOnce([Tensor<4>; N], usize) -> Tensor<4>,
) -> Tensor<4> {
    let is_gpu = maps
        .first()
        .is_some_and(|map| kernels::is_gpu(&map.device().without_autodiff()));
    if is_gpu {
        work(maps, 1)
    } else {
        let pixels = maps.map(|map| map.permute([0, 2, 3, 1]));
        work(pixels, 3).permute([0, 3, 1, 2])
    }
}

/// The pixels of each 2x2 square as channels (PyTorch: `pixel_unshuffle(x, 2)`): `[B, C, 2h, 2w]`
/// to `[B, 4C, h, w]`.
pub(super) fn pixel_unshuffle(x: Tensor<4>) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    let (h, w) = (h / 2, w / 2);
    in_order([x], |[x], axis| {
        // The same permutation takes [B, C, h, 2, w, 2] to [B, C, 2, 2, h, w] and
        // [B, h, 2, w, 2, C] to [B, h, w, C, 2, 2].
        let axes = [0, 1, 3, 5, 2, 4];
        match axis {
            1 => x
                .reshape([b, c, h, 2, w, 2])
                .permute(axes)
                .reshape([b, 4 * c, h, w]),
            _ => x
                .reshape([b, h, 2, w, 2, c])
                .permute(axes)
                .reshape([b, h, w, 4 * c]),
        }
    })
}

/// Four channels as the pixels of a 2x2 square (PyTorch: `pixel_shuffle(x, 2)`): `[B, 4C, h, w]` to
/// `[B, C, 2h, 2w]`.
pub(super) fn pixel_shuffle(x: Tensor<4>) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    let c = c / 4;
    in_order([x], |[x], axis| {
        // Of [B, C, 2, 2, h, w] or of [B, h, w, C, 2, 2].
        let axes = [0, 1, 4, 2, 5, 3];
        match axis {
            1 => x
                .reshape([b, c, 2, 2, h, w])
                .permute(axes)
                .reshape([b, c, 2 * h, 2 * w]),
            _ => x
                .reshape([b, h, w, c, 2, 2])
                .permute(axes)
                .reshape([b, 2 * h, 2 * w, c]),
        }
    })
}

/// The mean of each `size` neighbouring channels: `[B, size C, h, w]` to `[B, C, h, w]`.
pub(super) fn mean_of_channels(x: Tensor<4>, size: usize) -> Tensor<4> {
    if size == 1 {
        return x;
    }
    let [b, c, h, w] = x.dims();
    let c = c / size;
    in_order([x], |[x], axis| match axis {
        1 => x
            .reshape([b, c, size, h, w])
            .mean_dim(2)
            .reshape([b, c, h, w]),
        _ => x
            .reshape([b, h, w, c, size])
            .mean_dim(4)
            .reshape([b, h, w, c]),
    })
}

/// Each channel `times` times (PyTorch: `repeat_interleave`): `[B, C, h, w]` to
/// `[B, times C, h, w]`.
pub(super) fn repeat_channels(x: Tensor<4>, times: usize) -> Tensor<4> {
    if times == 1 {
        return x;
    }
    let [b, c, h, w] = x.dims();
    in_order([x], |[x], axis| match axis {
        1 => x
            .reshape([b, c, 1, h, w])
            .expand([b, c, times, h, w])
            .reshape([b, c * times, h, w]),
        _ => x
            .reshape([b, h, w, c, 1])
            .expand([b, h, w, c, times])
            .reshape([b, h, w, c * times]),
    })
}

/// `mean_of_channels(pixel_unshuffle(x), size)`, `[B, C, 2h, 2w]` to `[B, 4C / size, h, w]`. Where
/// a group has pixels side by side, which come first, their mean is taken before anything moves.
pub(super) fn mean_of_squares(x: Tensor<4>, size: usize) -> Tensor<4> {
    if !size.is_multiple_of(2) {
        return mean_of_channels(pixel_unshuffle(x), size);
    }
    let [b, c, h, w] = x.dims();
    let (h, w) = (h / 2, w / 2);
    let means = in_order([x], |[x], axis| match axis {
        1 => {
            let x = x.reshape([b, c, 2 * h, w, 2]).mean_dim(4);
            let x = x.reshape([b, c, h, 2, w]).permute([0, 1, 3, 2, 4]);
            x.reshape([b, 2 * c, h, w])
        }
        _ => {
            let x = x.reshape([b, 2 * h, w, 2, c]).mean_dim(3);
            let x = x.reshape([b, h, 2, w, c]).permute([0, 1, 3, 4, 2]);
            x.reshape([b, h, w, 2 * c])
        }
    });
    mean_of_channels(means, size / 2)
}
