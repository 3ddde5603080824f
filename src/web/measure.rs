//! What tests and benchmarks ask of the engine, and no page: equality on this very device, stages
//! alone, and what they cost.

use burn::tensor::Device;
use js_sys::{Array, Float32Array, Object, Uint8Array};
use wasm_bindgen::prelude::*;

use super::{Engine, Stage, Thrown, options, set, wrong_stage};
use crate::device;
use crate::parity;
use crate::pipeline::{Pipeline, stages::Input};
use crate::tensor::HostTensor;

impl Engine {
    fn pipeline(&self) -> Result<&Pipeline, Thrown> {
        match &self.stage {
            Stage::Ready(pipeline) => Ok(pipeline),
            _ => Err(wrong_stage().into()),
        }
    }
}

fn input(sample: Vec<f32>, shape: Vec<usize>, text: Vec<f32>, text_shape: Vec<usize>) -> Input {
    let weight = |data, shape| HostTensor { shape, data };
    Input {
        sample: weight(sample, shape),
        text: weight(text, text_shape),
    }
}

#[wasm_bindgen]
impl Engine {
    /// Runs one of [`crate::pipeline::STAGES`] alone and gives its output: for
    /// `cargo xtask bench stages`, which holds a clock.
    pub async fn stage(
        &self,
        stage: String,
        sample: Vec<f32>,
        shape: Vec<usize>,
        text: Vec<f32>,
        text_shape: Vec<usize>,
    ) -> Result<Float32Array, Thrown> {
        let input = input(sample, shape, text, text_shape);
        let output = self.pipeline()?.stage(&stage, &input).await?;
        Ok(Float32Array::from(output.data.as_slice()))
    }
}

#[cfg(feature = "gpu")]
#[wasm_bindgen]
impl Engine {
    /// As [`Self::stage`], with what it asks of the GPU: `{output, launches, inUse, reserved}`, for
    /// `cargo xtask bench memory`.
    pub async fn watched(
        &self,
        stage: String,
        sample: Vec<f32>,
        shape: Vec<usize>,
        text: Vec<f32>,
        text_shape: Vec<usize>,
    ) -> Result<Object, Thrown> {
        let input = input(sample, shape, text, text_shape);
        let (output, usage) = self.pipeline()?.watched(&stage, &input, false).await?;
        let object = used(usage);
        let output = Float32Array::from(output.data.as_slice());
        set(&object, "output", &output);
        Ok(object)
    }

    /// What the GPU's memory has now: `{launches, inUse, reserved}`.
    pub fn usage(&self) -> Result<Object, Thrown> {
        Ok(used(self.pipeline()?.usage()))
    }
}

#[cfg(feature = "gpu")]
fn used(usage: device::watch::Usage) -> Object {
    let object = Object::new();
    set(&object, "launches", &(usage.launches as f64).into());
    set(&object, "inUse", &(usage.in_use as f64).into());
    set(&object, "reserved", &(usage.reserved as f64).into());
    object
}

/// Equality with diffusers on this very device: runs the golden cases of `tests/reference`.
#[wasm_bindgen]
pub struct Parity {
    device: Device,
}

#[wasm_bindgen]
impl Parity {
    /// Opens the device. `backend` is `cpu` or `gpu`, as this module was built; `adapter` is what
    /// `options` reads.
    pub async fn open(backend: String, adapter: JsValue) -> Result<Parity, Thrown> {
        let device = device::open_with(backend.parse()?, options(&adapter)?).await?;
        Ok(Parity { device })
    }

    /// The relative L2 error of each output of a case. `files` has a `Uint8Array` for each path in
    /// the case's folder.
    pub async fn compare(&self, files: Object) -> Result<Object, Thrown> {
        let read = |entry: JsValue| {
            let entry = Array::from(&entry);
            let bytes = Uint8Array::new(&entry.get(1)).to_vec();
            Some((entry.get(0).as_string()?, bytes))
        };
        let files = Object::entries(&files).iter().filter_map(read).collect();
        let errors = Object::new();
        for (output, error) in parity::compare(&files, &self.device).await? {
            set(&errors, &output, &error.into());
        }
        Ok(errors)
    }
}

#[cfg(feature = "gpu")]
#[wasm_bindgen]
impl Parity {
    /// Every `every`-th case of the kernels' table against burn's own operations on this device,
    /// with tiles of either class and weights in every format by turns: `{cases, worst, name}`.
    /// Cases with the largest weights, which a browser need not hold, are left out.
    pub async fn kernels(&self, every: usize) -> Result<Object, Thrown> {
        use crate::device::{AdapterClass, Precision::F32, adapter_class};
        use crate::kernels::{cases::distance, table, take_plain, take_tiles_of};
        let small = table::cases(true)
            .into_iter()
            .filter(|case| case.weights() <= 1 << 22);
        let (mut cases, mut worst, mut name) = (0, 0.0, String::new());
        for (i, case) in small.step_by(every).enumerate() {
            let bits = [None, Some(8), Some(4)][i % 3].filter(|_| case.weights() > 0);
            take_tiles_of([AdapterClass::Software, AdapterClass::Gpu][i % 2]);
            let found = case.run(bits, F32, &self.device)();
            take_plain(true);
            let expected = case.run(bits, F32, &self.device)();
            take_plain(false);
            let error = distance(found, expected).await?;
            if error.is_nan() || error > worst {
                (worst, name) = (error, format!("{bits:?} {case:?}"));
            }
            cases += 1;
        }
        take_tiles_of(adapter_class());
        let object = Object::new();
        set(&object, "cases", &cases.into());
        set(&object, "worst", &worst.into());
        set(&object, "name", &name.into());
        Ok(object)
    }
}
