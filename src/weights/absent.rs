//! Parameters that lie on a GPU as their weights will, without values.

use std::collections::BTreeMap;

use burn::module::{Param, Reparameterizer};
use burn::prelude::*;

use super::{Names, key};
use crate::bundle::{Precision, TensorEntry, matrix};
use crate::kernels::Packed;

/// Gives each parameter of `module` a buffer, or packed ones, as `tensors` says that its weight is
/// stored. For dry runs, which read no value and for which the allocator only counts.
pub(crate) fn absent<M: Module>(module: M, tensors: &BTreeMap<String, TensorEntry>) -> M {
    let mut names = Names::default();
    module.visit(&mut names);
    module.apply_reparameterization(&mut Absent {
        is_linear: names.found,
        tensors,
    })
}

struct Absent<'a> {
    /// Whether each is the weight of a linear layer.
    is_linear: BTreeMap<String, bool>,
    tensors: &'a BTreeMap<String, TensorEntry>,
}

impl Reparameterizer for &mut Absent<'_> {
    type Reparam = Packed;

    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<Packed>) {
        let (id, device) = (param.id, param.lazy_device());
        let shape: [usize; D] = param.lazy_shape().dims();
        let name = key(path);
        let bits = self.tensors.get(&name).and_then(|entry| match entry.dtype {
            Precision::Q8 => Some(8),
            Precision::Q4 => Some(4),
            Precision::F16 | Precision::F32 => None,
        });
        let Some(bits) = bits else {
            let nothing = Tensor::empty(shape, &device);
            return (param.transform_for_load(nothing, id), None);
        };
        let is_linear = self.is_linear[&name];
        let mut stored = shape.to_vec();
        if is_linear {
            stored.reverse();
        }
        let packed = Packed::absent(matrix(&stored), bits, is_linear, &device);
        let nothing = Tensor::<1>::empty([1], &device).expand(shape);
        (param.transform_for_load(nothing, id), Some(packed))
    }
}
