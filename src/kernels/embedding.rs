//! Rows of a table.

use burn::nn::Embedding;
use burn::prelude::*;

use super::Packed;

/// The table's rows of these numbers, `[B, T]` to `[B, T, E]`. Of a packed table only these rows
/// are decoded: CLIP's, of 49,408 by 768 values, is larger in f32 than what WebGPU binds.
pub fn embedding(table: &Embedding, ids: Tensor<2, Int>) -> Tensor<3> {
    let Some(packed) = table.weight.reparameterization::<Packed>() else {
        return table.forward(ids);
    };
    let [b, t] = ids.dims();
    let rows = packed.rows(ids.reshape([b * t]));
    let [_, e] = rows.dims();
    rows.reshape([b, t, e])
}
