//! Attention that never writes its scores down, with a running softmax.

use super::launch::{element, empty, on_gpu, tensor};
use super::tile::{KEYS, QUERIES, shares_keys};
use burn::tensor::Tensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

/// Widest head that a unit's registers hold: the widest of SD 1.x's U-Net. The autoencoder's one
/// head of 512 is left to the plain way.
const WIDEST: usize = 160;

/// Neighbouring keys that lie in one vector of workgroup memory.
const LANES: usize = 4;

/// Vectors of a group of keys.
const VECTORS: usize = KEYS / LANES;

type Lanes = Vector<f32, Const<LANES>>;

/// Strides of a `[B, T, C]` tensor.
#[derive(CubeType, CubeLaunch, Clone)]
struct Strides {
    batch: usize,
    token: usize,
    channel: usize,
}

pub fn attention(
    q: &Tensor<3>,
    k: &Tensor<3>,
    v: &Tensor<3>,
    heads: usize,
    is_causal: bool,
) -> Option<Tensor<3>> {
    let [b, tq, c] = q.dims();
    let tk = k.dims()[1];
    let d = c / heads;
    if d > WIDEST {
        return None;
    }
    let [q, k, v] = [on_gpu(q)?, on_gpu(k)?, on_gpu(v)?];
    let strides = |cube: &burn_cubecl::tensor::CubeTensor| {
        let strides = cube.meta.strides();
        StridesLaunch::new(strides[0], strides[1], strides[2])
    };
    let out = empty(&q, [b, c, tq]);
    let dtype = element(&q);
    let (q_strides, k_strides, v_strides) = (strides(&q), strides(&k), strides(&v));
    // SAFETY: the kernel stays within the shapes that the strides are of.
    unsafe {
        kernel::launch_unchecked(
            &out.client,
            CubeCount::Static(tq.div_ceil(QUERIES) as u32, heads as u32, b as u32),
            CubeDim::new_1d(QUERIES as u32),
            q.into_buffer_arg(),
            k.into_buffer_arg(),
            v.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            q_strides,
            k_strides,
            v_strides,
            tq,
            tk,
            1.0 / (d as f32).sqrt(),
            d,
            is_causal,
            shares_keys(),
            dtype,
        );
    }
    Some(tensor::<3>(out).swap_dims(1, 2))
}

/// Each unit has one query in registers and goes over the keys in groups of [`KEYS`], with the
/// running maximum and sum of Milakov and Gimelshein 2018 (arXiv:1805.02867), as FlashAttention
/// does. Where keys are `shared`, a workgroup reads a group together, four of them in a vector, and
/// loops over a head's channels are unrolled, so that its arrays stay in registers. A software
/// adapter has them in memory either way. CubeCL's passes take time in the square of what is
/// unrolled.
#[cube(launch_unchecked)]
fn kernel<F: Float>(
    q: &[F],
    k: &[F],
    v: &[F],
    out: &mut [F],
    q_strides: Strides,
    k_strides: Strides,
    v_strides: Strides,
    queries: usize,
    keys: usize,
    scale: f32,
    #[comptime] d: usize,
    #[comptime] is_causal: bool,
    #[comptime] shared: bool,
    #[define(F)] _dtype: ElemType,
) {
    let query = CUBE_POS_X as usize * QUERIES + UNIT_POS as usize;
    let head = CUBE_POS_Y as usize * d;
    let batch = CUBE_POS_Z as usize;
    // Units past the last query compute it again, as all have to meet at the barriers.
    let read = select(query < queries, query, queries - 1);
    let q_start = batch * q_strides.batch + read * q_strides.token + head * q_strides.channel;
    let k_start = batch * k_strides.batch + head * k_strides.channel;
    let v_start = batch * v_strides.batch + head * v_strides.channel;
    let group_size = comptime!(if shared { VECTORS * d } else { 1 });
    let mut group_k = Shared::<[Lanes]>::new_slice(group_size);
    let mut group_v = Shared::<[Lanes]>::new_slice(group_size);

    let mut own = Array::<f32>::new(d);
    let mut sums = Array::<f32>::new(d);
    #[unroll(shared)]
    for i in 0..d {
        own[i] = f32::cast_from(q[q_start + i * q_strides.channel]) * scale;
        sums[i] = 0.0;
    }
    let mut scores = Array::<f32>::new(KEYS);
    let mut vectors = Array::<Lanes>::new(VECTORS); // the same, of shared keys
    let mut k_places = Array::<usize>::new(KEYS);
    let mut v_places = Array::<usize>::new(KEYS);
    let mut highest = f32::new(-1e30);
    let mut weight = f32::new(0.0);
    // Of a workgroup, so that all of its units do the same.
    let last = if comptime!(is_causal) {
        min(CUBE_POS_X as usize * QUERIES + QUERIES, keys)
    } else {
        keys
    };
    let mut first = 0;
    while first < last {
        if comptime!(shared) {
            sync_cube();
            let mut at = UNIT_POS as usize;
            while at < comptime!(VECTORS * d) {
                let (i, vector) = (at / VECTORS, at % VECTORS);
                let mut k_lanes = Lanes::new(0.0);
                let mut v_lanes = Lanes::new(0.0);
                #[unroll]
                for lane in 0..LANES {
                    let key = min(first + vector * LANES + lane, keys - 1);
                    let k_at = k_start + key * k_strides.token + i * k_strides.channel;
                    let v_at = v_start + key * v_strides.token + i * v_strides.channel;
                    k_lanes.insert(lane, f32::cast_from(k[k_at]));
                    v_lanes.insert(lane, f32::cast_from(v[v_at]));
                }
                group_k[at] = k_lanes;
                group_v[at] = v_lanes;
                at += QUERIES;
            }
            sync_cube();
            #[unroll]
            for vector in 0..VECTORS {
                vectors[vector] = Lanes::new(0.0);
            }
        }
        #[unroll]
        for j in 0..KEYS {
            scores[j] = 0.0;
            if comptime!(!shared) {
                let key = min(first + j, keys - 1);
                k_places[j] = k_start + key * k_strides.token;
                v_places[j] = v_start + key * v_strides.token;
            }
        }
        #[unroll(shared)]
        for i in 0..d {
            if comptime!(shared) {
                let value = Lanes::new(own[i]);
                #[unroll]
                for vector in 0..VECTORS {
                    vectors[vector] += value * group_k[i * VECTORS + vector];
                }
            } else {
                #[unroll]
                for j in 0..KEYS {
                    let at = k_places[j] + i * k_strides.channel;
                    scores[j] += own[i] * f32::cast_from(k[at]);
                }
            }
        }
        let mut top = highest;
        #[unroll]
        for j in 0..KEYS {
            if comptime!(shared) {
                scores[j] = vectors[comptime!(j / LANES)].extract(comptime!(j % LANES));
            }
            let key = first + j;
            let mut seen = key < keys;
            if comptime!(is_causal) {
                seen = seen && key <= read;
            }
            scores[j] = select(seen, scores[j], f32::new(-1e30));
            top = max(top, scores[j]);
        }
        let shrink = f32::exp(highest - top);
        highest = top;
        weight *= shrink;
        #[unroll]
        for j in 0..KEYS {
            scores[j] = f32::exp(scores[j] - top);
            weight += scores[j];
        }
        if comptime!(shared) {
            #[unroll]
            for vector in 0..VECTORS {
                let mut lanes = Lanes::new(0.0);
                #[unroll]
                for lane in 0..LANES {
                    lanes.insert(lane, scores[vector * LANES + lane]);
                }
                vectors[vector] = lanes;
            }
        }
        #[unroll(shared)]
        for i in 0..d {
            let mut sum = sums[i] * shrink;
            if comptime!(shared) {
                #[unroll]
                for vector in 0..VECTORS {
                    sum += vectors[vector].dot(group_v[i * VECTORS + vector]);
                }
            } else {
                #[unroll]
                for j in 0..KEYS {
                    let at = v_places[j] + i * v_strides.channel;
                    sum += scores[j] * f32::cast_from(v[at]);
                }
            }
            sums[i] = sum;
        }
        first += KEYS;
    }
    if query < queries {
        #[unroll(shared)]
        for i in 0..d {
            let channel = batch * (CUBE_COUNT_Y as usize * d) + head + i;
            out[channel * queries + query] = F::cast_from(sums[i] / weight);
        }
    }
}
