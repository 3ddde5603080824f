//! Weights -> modules and back: every key and every shape of a checkpoint is accounted for.
//!
//! Field names are the checkpoint's keys, so the only differences that burn makes are undone here:
//! a linear layer's weight is transposed, and a normalisation calls its weight and bias `gamma` and
//! `beta`.

#[cfg(feature = "gpu")]
mod absent;

use std::collections::BTreeMap;

use burn::module::{ModuleVisitor, Param, Reparameterizer};
use burn::prelude::*;

use crate::bundle::Quantized;
use crate::error::{Error, Result};
use crate::kernels::{Packed, is_gpu};
use crate::tensor::HostTensor;
#[cfg(feature = "gpu")]
pub(crate) use absent::absent;

/// Tensors by name, `{component}.{diffusers key}`: `unet.conv_in.weight`.
pub type Weights = BTreeMap<String, HostTensor>;

/// One tensor as a bundle stores it.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    /// Its values.
    Plain(HostTensor),
    /// Integers and scales.
    Quantized {
        /// Sizes of the dimensions.
        shape: Vec<usize>,
        /// The tensor as a matrix `[shape[0], ..]`.
        quantized: Quantized,
    },
}

/// As [`Weights`], not decoded yet.
pub type StoredWeights = BTreeMap<String, Stored>;

impl From<HostTensor> for Stored {
    fn from(weight: HostTensor) -> Self {
        Self::Plain(weight)
    }
}

impl Stored {
    /// Its values.
    pub fn decode(self) -> HostTensor {
        match self {
            Self::Plain(weight) => weight,
            Self::Quantized { shape, quantized } => HostTensor {
                data: quantized.decode(),
                shape,
            },
        }
    }

    /// Sizes of the dimensions.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Plain(weight) => &weight.shape,
            Self::Quantized { shape, .. } => shape,
        }
    }

    /// How many values there are, which is fewer than the shape says while rows are missing.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Plain(weight) => weight.data.len(),
            Self::Quantized { quantized, .. } => quantized.size().iter().product(),
        }
    }

    /// These rows and, below them, others of the same tensor in the same format.
    pub(crate) fn above(mut self, below: Self) -> Self {
        match (&mut self, below) {
            (Self::Plain(rows), Self::Plain(below)) => rows.data.extend(below.data),
            (
                Self::Quantized {
                    quantized: rows, ..
                },
                Self::Quantized { quantized, .. },
            ) => rows.append(quantized),
            _ => unreachable!("a manifest names one format for all parts of a tensor"),
        }
        self
    }
}

/// Follows a walk through a module and knows the checkpoint's name of each parameter.
#[derive(Default)]
struct Path {
    names: Vec<String>,
    containers: Vec<String>,
}

impl Path {
    fn enter(&mut self, name: &str, container: &str) {
        self.names.push(name.into());
        self.containers.push(container.into());
    }

    fn exit(&mut self) {
        self.names.pop();
        self.containers.pop();
    }

    /// The checkpoint's name of the parameter that is being visited.
    fn key(&self) -> String {
        key(&self.names.join("."))
    }

    /// Whether the parameter is the weight of a linear layer, `[in, out]` in burn and `[out, in]`
    /// in the file.
    fn is_linear_weight(&self) -> bool {
        self.containers.last().is_some_and(|c| c == "Struct:Linear")
            && self.names.last().is_some_and(|n| n == "weight")
    }
}

/// The checkpoint's name of the parameter at a path through a module. An enum's variant is a step
/// of the path, alone with a capital letter, and not of the name.
fn key(path: &str) -> String {
    let steps = path.split('.');
    let named = |step: &&str| !step.starts_with(|c: char| c.is_ascii_uppercase());
    let path = steps.filter(named).collect::<Vec<_>>().join(".");
    match path.rsplit_once('.') {
        Some((module, "gamma")) => format!("{module}.weight"),
        Some((module, "beta")) => format!("{module}.bias"),
        _ => path,
    }
}

/// Loads a module from one part of its weights after another and knows what is still missing.
#[derive(Debug)]
pub struct WeightLoader {
    /// Whether each is the weight of a linear layer.
    missing: BTreeMap<String, bool>,
}

impl WeightLoader {
    /// A loader that expects every parameter of `module`.
    pub fn new(module: &impl Module) -> Self {
        let mut names = Names::default();
        module.visit(&mut names);
        Self {
            missing: names.found,
        }
    }

    /// Puts `weights` into their parameters. On a GPU, quantized ones stay integers there: see
    /// [`Packed`].
    ///
    /// # Errors
    /// [`Error::UnknownTensor`] for a name that the module does not have or that came before,
    /// [`Error::TensorShape`] for one that does not fit.
    pub fn apply<M: Module, W: Into<Stored>>(
        &mut self,
        module: M,
        weights: BTreeMap<String, W>,
    ) -> Result<M> {
        let mut loading = Loading::default();
        for (name, weight) in weights {
            let Some(is_linear) = self.missing.remove(&name) else {
                return Err(Error::UnknownTensor { name });
            };
            loading.arrived.insert(name, (is_linear, weight.into()));
        }
        let module = module.apply_reparameterization(&mut loading);
        match loading.error {
            Some(error) => Err(error),
            None => Ok(module),
        }
    }

    /// # Errors
    /// [`Error::MissingTensor`] naming the first parameter that nothing was loaded into.
    pub fn finish(self) -> Result<()> {
        match self.missing.into_keys().next() {
            Some(name) => Err(Error::MissingTensor { name }),
            None => Ok(()),
        }
    }
}

/// Loads all of a module's weights at once.
///
/// # Errors
/// As [`WeightLoader::apply`] and [`WeightLoader::finish`].
pub fn load<M: Module>(module: M, weights: Weights) -> Result<M> {
    let mut loader = WeightLoader::new(&module);
    let module = loader.apply(module, weights)?;
    loader.finish()?;
    Ok(module)
}

/// Name and shape, as the checkpoint has them, of every parameter; nothing is allocated for one
/// that is not yet there.
pub fn expected(module: &impl Module) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = Shapes::default();
    module.visit(&mut shapes);
    shapes.found
}

/// Reads a module's weights back from the device, in the checkpoint's names and layout. Blocks, so
/// native only.
#[cfg(not(target_family = "wasm"))]
pub fn collect(module: &impl Module) -> Weights {
    let mut collecting = Collecting::default();
    module.visit(&mut collecting);
    collecting.weights
}

/// `[rows, columns]` to `[columns, rows]`.
fn transposed(data: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(data.len());
    for column in 0..columns {
        out.extend((0..rows).map(|row| data[row * columns + column]));
    }
    out
}

#[derive(Default)]
struct Names {
    path: Path,
    /// Whether each is the weight of a linear layer.
    found: BTreeMap<String, bool>,
}

impl ModuleVisitor for Names {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
        let is_linear = self.path.is_linear_weight();
        self.found.insert(self.path.key(), is_linear);
    }
}

#[derive(Default)]
struct Shapes {
    path: Path,
    found: BTreeMap<String, Vec<usize>>,
}

impl ModuleVisitor for Shapes {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let mut shape = param.lazy_shape().to_vec();
        if self.path.is_linear_weight() {
            shape.reverse();
        }
        self.found.insert(self.path.key(), shape);
    }
}

#[derive(Default)]
struct Loading {
    /// Each with whether it is the weight of a linear layer.
    arrived: BTreeMap<String, (bool, Stored)>,
    /// One zero, which stands for all values of a parameter whose weight is packed.
    zero: Option<Tensor<1>>,
    error: Option<Error>,
}

/// Whether a tensor of the shape `found` fits a parameter of the `expected` one, both as a
/// checkpoint has them. A linear layer may come as the 1x1 convolution that it equals (SD 1.x
/// `proj_in`, old autoencoders).
fn fits(found: &Stored, expected: &[usize], is_linear: bool) -> bool {
    let shape = match found.shape() {
        [rows @ .., 1, 1] if is_linear && rows.len() == 2 => rows,
        shape => shape,
    };
    shape == expected && found.count() == expected.iter().product::<usize>()
}

impl Reparameterizer for &mut Loading {
    type Reparam = Packed;

    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<Packed>) {
        let name = key(path);
        let Some((is_linear, stored)) = self.arrived.remove(&name) else {
            return (param, None);
        };
        let shape = param.lazy_shape().to_vec();
        let mut expected = shape.clone();
        if is_linear {
            expected.reverse();
        }
        if !fits(&stored, &expected, is_linear) {
            let found = stored.shape().to_vec();
            self.error.get_or_insert(Error::TensorShape {
                name,
                expected,
                found,
            });
            return (param, None);
        }
        let (id, device) = (param.id, param.lazy_device());
        // Integers stay such where kernels decode them; elsewhere they are decoded once, here.
        if let Stored::Quantized { quantized, .. } = &stored
            && is_gpu(&device)
        {
            let zero = self.zero.get_or_insert_with(|| Tensor::zeros([1], &device));
            let packed = Packed::new(quantized, is_linear, &device);
            let shape: [usize; D] = param.lazy_shape().dims();
            let nothing = zero.clone().expand(shape);
            return (param.transform_for_load(nothing, id), Some(packed));
        }
        let mut values = stored.decode().data;
        if is_linear {
            values = transposed(&values, expected[0], expected[1]);
        }
        let data = TensorData::new(values, shape);
        // In a pool of its own: weights stay, while everything else comes and goes.
        let tensor =
            device.memory_persistent_allocations(data, |data| Tensor::from_data(data, &device));
        (param.transform_for_load(tensor, id), None)
    }
}

#[cfg(not(target_family = "wasm"))]
#[derive(Default)]
struct Collecting {
    path: Path,
    weights: Weights,
}

#[cfg(not(target_family = "wasm"))]
impl ModuleVisitor for Collecting {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let mut shape = param.shape().to_vec();
        let mut data: Vec<f32> = param.val().into_data().try_into_vec_as().expect("floats");
        if self.path.is_linear_weight() {
            data = transposed(&data, shape[0], shape[1]);
            shape.reverse();
        }
        self.weights
            .insert(self.path.key(), HostTensor { shape, data });
    }
}
