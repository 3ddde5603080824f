//! Weights -> modules and back: every key and every shape of a checkpoint is accounted for.
//!
//! Field names are the checkpoint's keys, so the only differences that burn makes are undone here: a linear layer's
//! weight is transposed, and a normalisation calls its weight and bias `gamma` and `beta`.

use std::collections::BTreeMap;

use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::prelude::*;

use crate::error::{Error, Result};

/// One tensor as a safetensors file has it: PyTorch's layout, in f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// Sizes of the dimensions.
    pub shape: Vec<usize>,
    /// Row-major values, as many as the shape says.
    pub data: Vec<f32>,
}

/// Tensors by name, `{component}.{diffusers key}`: `unet.conv_in.weight`.
pub type Weights = BTreeMap<String, Weight>;

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
        let mut names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        if let Some(last) = names.last_mut() {
            match *last {
                "gamma" => *last = "weight",
                "beta" => *last = "bias",
                _ => {}
            }
        }
        names.join(".")
    }

    /// Whether the parameter is the weight of a linear layer, `[in, out]` in burn and `[out, in]` in the file.
    fn is_linear_weight(&self) -> bool {
        self.containers.last().is_some_and(|c| c == "Struct:Linear")
            && self.names.last().is_some_and(|n| n == "weight")
    }
}

/// Loads a module from one part of its weights after another and knows what is still missing.
#[derive(Debug)]
pub struct WeightLoader {
    missing: BTreeMap<String, ()>,
}

impl WeightLoader {
    /// A loader that expects every parameter of `module`.
    pub fn new(module: &impl Module) -> Self {
        let mut names = Names::default();
        module.visit(&mut names);
        Self {
            missing: names.found.into_iter().map(|name| (name, ())).collect(),
        }
    }

    /// Puts `weights` into their parameters.
    ///
    /// # Errors
    /// [`Error::UnknownTensor`] for a name that the module does not have or that came before, [`Error::TensorShape`]
    /// for one that does not fit.
    pub fn apply<M: Module>(&mut self, module: M, weights: Weights) -> Result<M> {
        for name in weights.keys() {
            if self.missing.remove(name).is_none() {
                return Err(Error::UnknownTensor { name: name.clone() });
            }
        }
        let mut loading = Loading {
            path: Path::default(),
            weights,
            error: None,
        };
        let module = module.map(&mut loading);
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

/// Name and shape, as the checkpoint has them, of every parameter; nothing is allocated for one that is not yet there.
pub fn expected(module: &impl Module) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = Shapes::default();
    module.visit(&mut shapes);
    shapes.found
}

/// Reads a module's weights back from the device, in the checkpoint's names and layout. Blocks, so native only.
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
    found: Vec<String>,
}

impl ModuleVisitor for Names {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
        self.found.push(self.path.key());
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

struct Loading {
    path: Path,
    weights: Weights,
    error: Option<Error>,
}

impl Loading {
    /// The values in burn's layout, or an error if they do not fit `shape` (burn's).
    fn fit(&self, name: String, weight: Weight, shape: Vec<usize>) -> Result<Vec<f32>> {
        let linear = self.path.is_linear_weight();
        let mut expected = shape;
        if linear {
            expected.reverse();
        }
        // A linear layer may come as the 1x1 convolution that it equals (SD 1.x `proj_in`, old autoencoders).
        let pointwise = linear && weight.shape.len() == 4 && weight.shape[2..] == [1, 1];
        let found = if pointwise {
            &weight.shape[..2]
        } else {
            &weight.shape[..]
        };
        if found != expected || weight.data.len() != expected.iter().product::<usize>() {
            return Err(Error::TensorShape {
                name,
                expected,
                found: weight.shape,
            });
        }
        Ok(if linear {
            transposed(&weight.data, expected[0], expected[1])
        } else {
            weight.data
        })
    }
}

impl ModuleMapper for Loading {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.key();
        let Some(weight) = self.weights.remove(&name) else {
            return param;
        };
        let shape = param.lazy_shape().to_vec();
        match self.fit(name, weight, shape.clone()) {
            Ok(values) => {
                let device = param.lazy_device();
                let data = TensorData::new(values, shape);
                // In a pool of its own: weights stay, while everything else comes and goes.
                let tensor = device
                    .memory_persistent_allocations(data, |data| Tensor::from_data(data, &device));
                let id = param.id;
                param.transform_for_load(tensor, id)
            }
            Err(error) => {
                self.error.get_or_insert(error);
                param
            }
        }
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
        self.weights.insert(self.path.key(), Weight { shape, data });
    }
}
