//! The table of kernels in a visitor's browser: what `web/measure/` checks and times.

use burn::prelude::*;
use js_sys::{Array, Float32Array, Object};
use wasm_bindgen::prelude::*;

use super::{Thrown, options, precision, set};
use crate::device::{self, Precision};
use crate::error::Error;
use crate::kernels::{Activation, cases::Case, table};
use crate::tensor::HostTensor;

/// `{version, repository}` of this engine; the repository's address is that of `Cargo.toml`, and
/// empty where it names none.
#[wasm_bindgen]
pub fn about() -> Object {
    let object = Object::new();
    set(&object, "version", &env!("CARGO_PKG_VERSION").into());
    set(&object, "repository", &env!("CARGO_PKG_REPOSITORY").into());
    object
}

/// A list of cases on one device.
#[wasm_bindgen]
pub struct Cases {
    device: Device,
    precision: Precision,
    cases: Vec<Case>,
}

#[wasm_bindgen]
impl Cases {
    /// Opens the device, once in a worker's life. `adapter` is what [`options`] and [`precision`]
    /// read, with the tiles of another class of adapters where it has `tiles`, which is `software`
    /// or `card`.
    pub async fn open(backend: String, adapter: JsValue) -> Result<Cases, Thrown> {
        let device = device::open_with(backend.parse()?, options(&adapter)?).await?;
        let precision = Precision::on(&device, precision(&adapter)?.or(Some(Precision::F32)))?;
        take_tiles(&adapter)?;
        let cases = table::cases(true);
        Ok(Cases {
            device,
            precision,
            cases,
        })
    }

    /// The same device with maps and rows in `f32` or `f16`.
    pub fn in_precision(&self, name: String) -> Result<Cases, Thrown> {
        Ok(Cases {
            device: self.device.clone(),
            precision: Precision::on(&self.device, Some(name.parse()?))?,
            cases: self.cases.clone(),
        })
    }

    /// The same device with the layers of `sd1`, `sd2` or `shipped` at their real sizes.
    pub fn layers(&self, model: String) -> Result<Cases, Thrown> {
        let cases = table::layers(&model).ok_or_else(|| {
            Error::request(
                "model",
                format!(
                    "{model:?} is not in the table; use {}",
                    table::MODELS.join(", ")
                ),
            )
        })?;
        Ok(Cases {
            device: self.device.clone(),
            precision: self.precision,
            cases,
        })
    }

    /// What the class of the adapter is taken for: `software` or `card`.
    #[cfg(feature = "gpu")]
    pub fn tiles() -> String {
        match crate::kernels::choice::class() {
            device::AdapterClass::Software => "software".into(),
            device::AdapterClass::Gpu => "card".into(),
        }
    }

    /// `[{name, operations, weights}]`: the case in words, its multiplications and additions, and
    /// the values of its weight.
    pub fn list(&self) -> Array {
        let described = self.cases.iter().map(|case| {
            let object = Object::new();
            set(&object, "name", &format!("{case:?}").into());
            set(&object, "operations", &case.operations().into());
            set(&object, "weights", &(case.weights() as f64).into());
            object
        });
        described.collect()
    }

    /// Case number `index` with its numbers in the device's memory, and its weight in f32 or in
    /// integers of so many `bits`.
    pub fn prepare(&self, index: usize, bits: Option<usize>) -> Result<Prepared, Thrown> {
        let case = self.cases.get(index).ok_or_else(|| {
            Error::request(
                "case",
                format!("{index} is not one of {}", self.cases.len()),
            )
        })?;
        let bits = bits.filter(|_| case.weights() > 0);
        Ok(Prepared(case.run(bits, self.precision, &self.device)))
    }

    /// A plain matrix product of two square matrices: of burn, or of the kernel below our linear
    /// layers.
    pub fn product(&self, side: usize, ours: bool) -> Prepared {
        if ours {
            let layer = Case::Linear {
                shape: [1, side, side],
                channels: side,
                activation: Some(Activation::None),
                added: false,
                transposed: true,
            };
            return Prepared(layer.run(None, self.precision, &self.device));
        }
        let dtype = self.precision.dtype();
        let matrix = |value: f32| Tensor::<2>::full([side, side], value, &self.device).cast(dtype);
        let (a, b) = (matrix(0.5), matrix(0.25));
        Prepared(Box::new(move || {
            a.clone().matmul(b.clone()).reshape([side * side])
        }))
    }
}

/// One operation that can be run again and again.
#[wasm_bindgen]
pub struct Prepared(Box<dyn Fn() -> Tensor<1>>);

#[wasm_bindgen]
impl Prepared {
    /// Runs it and brings all of its output here.
    pub async fn output(&self) -> Result<Float32Array, Thrown> {
        let output = HostTensor::read((self.0)()).await?;
        Ok(Float32Array::from(output.data.as_slice()))
    }

    /// Runs it so many times and waits for the last: one number of its output is read.
    pub async fn run(&self, times: usize) -> Result<(), Thrown> {
        for _ in 1..times {
            (self.0)();
        }
        HostTensor::read((self.0)().narrow(0, 0, 1)).await?;
        Ok(())
    }
}

/// Takes the tiles that `{tiles: "software" | "card"}` names.
fn take_tiles(adapter: &JsValue) -> Result<(), Error> {
    use device::AdapterClass::{Gpu, Software};
    let named = js_sys::Reflect::get(adapter, &JsValue::from_str("tiles")).ok();
    match named.and_then(|tiles| tiles.as_string()).as_deref() {
        None => {}
        Some("software") => crate::kernels::take_tiles_of(Software),
        Some("card") => crate::kernels::take_tiles_of(Gpu),
        Some(other) => {
            return Err(Error::request(
                "tiles",
                format!("{other:?} are not known; use software or card"),
            ));
        }
    }
    Ok(())
}
