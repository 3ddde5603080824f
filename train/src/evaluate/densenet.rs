//! The DenseNet of torchxrayvision, whose features published Fréchet distances of chest radiographs
//! are measured in (RoentGen's among them). Its weights are the user's to bring: they come from
//! other data sets, under their terms.
//!
//! `torchxrayvision/models.py`, class `DenseNet` (of torchvision's `densenet.py`): names and
//! numbers of layers are read off the file.

use std::collections::BTreeMap;
use std::path::Path;

use burn::prelude::*;
use burn::tensor::activation::relu;
use burn::tensor::module::{avg_pool2d, conv2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use image::{GrayImage, imageops};
use indicatif::ProgressIterator;
use roentgen_web::error::{Error, Result};
use roentgen_web::tensor::HostTensor;
use safetensors::SafeTensors;

use super::metrics::Features;
use crate::training::tensors::{floats, values};

/// Height and width that the published weights were trained at.
pub const SIZE: usize = 224;
/// Largest magnitude of a pixel, which counts from black at its negative.
const RANGE: f32 = 1024.0;
/// PyTorch's default of `BatchNorm2d`.
const EPSILON: f32 = 1e-5;
const BATCH: usize = 8;

/// The network up to its last features.
pub struct DenseNet {
    /// Everything below `features.`, under the rest of the name; normalisations as a factor and a
    /// shift.
    tensors: BTreeMap<String, HostTensor>,
    device: Device,
}

impl DenseNet {
    /// The weights in a safetensors file with the names of the library's `state_dict()`. The
    /// classifier's head is left alone.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Safetensors`] for what is none (a `.pt` file: the message says how
    /// to convert it), and [`Error::MissingTensor`] or [`Error::TensorShape`] where it is not this
    /// network's.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| Error::Safetensors {
            file: path.display().to_string(),
            why: format!(
                "{e}. In Python: safetensors.torch.save_file(torchxrayvision.models.DenseNet(weights=\"densenet121-res224-all\")\
                 .state_dict(), \"xrv.safetensors\")"
            ),
        })?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            let Some(name) = name.strip_prefix("features.") else {
                continue;
            };
            if name.ends_with("num_batches_tracked") {
                continue;
            }
            if view.dtype() != safetensors::Dtype::F32 {
                return Err(Error::TensorType {
                    name: format!("features.{name}"),
                    dtype: view.dtype().to_string(),
                });
            }
            let words = view.data().as_chunks::<4>().0;
            let weight = HostTensor {
                shape: view.shape().to_vec(),
                data: words.iter().map(|w| f32::from_le_bytes(*w)).collect(),
            };
            tensors.insert(name.to_string(), weight);
        }
        let network = Self {
            tensors,
            device: device.clone(),
        };
        network.check()?;
        Ok(network)
    }

    /// One image goes through, in numbers of channels only, so that nothing can go wrong later.
    fn check(&self) -> Result<()> {
        let mut channels = self.convolution("conv0", 1)?;
        self.norm_of("norm0", channels)?;
        for block in 1.. {
            let layers = self.layers(block);
            if layers == 0 {
                break;
            }
            for layer in 1..=layers {
                let name = format!("denseblock{block}.denselayer{layer}");
                self.norm_of(&format!("{name}.norm1"), channels)?;
                let narrow = self.convolution(&format!("{name}.conv1"), channels)?;
                self.norm_of(&format!("{name}.norm2"), narrow)?;
                channels += self.convolution(&format!("{name}.conv2"), narrow)?;
            }
            if self.layers(block + 1) > 0 {
                self.norm_of(&format!("transition{block}.norm"), channels)?;
                channels = self.convolution(&format!("transition{block}.conv"), channels)?;
            }
        }
        self.norm_of("norm5", channels).map(|_| ())
    }

    /// Number of layers in a block.
    fn layers(&self, block: usize) -> usize {
        let name = |layer| format!("denseblock{block}.denselayer{layer}.conv1.weight");
        (1..)
            .take_while(|layer| self.tensors.contains_key(&name(*layer)))
            .count()
    }

    fn find(&self, name: &str) -> Result<&HostTensor> {
        self.tensors.get(name).ok_or_else(|| Error::MissingTensor {
            name: format!("features.{name}"),
        })
    }

    /// Channels that come out of a convolution of so many.
    fn convolution(&self, name: &str, channels: usize) -> Result<usize> {
        let name = format!("{name}.weight");
        let found = &self.find(&name)?.shape;
        match found[..] {
            [out, channels_in, h, w] if channels_in == channels && h == w => Ok(out),
            _ => Err(Error::TensorShape {
                name: format!("features.{name}"),
                expected: vec![found.first().copied().unwrap_or(0), channels],
                found: found.clone(),
            }),
        }
    }

    /// Factor and shift, `[channels]` each, of a normalisation with the statistics of its training.
    fn norm_of(&self, name: &str, channels: usize) -> Result<[Vec<f32>; 2]> {
        let part = |part: &str| {
            let name = format!("{name}.{part}");
            let weight = self.find(&name)?;
            if weight.shape[..] == [channels] {
                Ok(&weight.data)
            } else {
                Err(Error::TensorShape {
                    name: format!("features.{name}"),
                    expected: vec![channels],
                    found: weight.shape.clone(),
                })
            }
        };
        let (weight, bias) = (part("weight")?, part("bias")?);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        let factors = weight.iter().zip(variance);
        let factors: Vec<f32> = factors.map(|(w, v)| w / (v + EPSILON).sqrt()).collect();
        let shifts = bias.iter().zip(mean).zip(&factors);
        let shifts = shifts.map(|((b, m), f)| b - m * f).collect();
        Ok([factors, shifts])
    }

    fn norm_relu(&self, name: &str, x: Tensor<4>) -> Tensor<4> {
        let channels = x.dims()[1];
        let parts = self.norm_of(name, channels).expect("checked when opened");
        let [factor, shift] = parts.map(|p| floats(&p, [1, channels, 1, 1], &self.device));
        relu(x * factor + shift)
    }

    fn conv(&self, name: &str, x: Tensor<4>, stride: usize) -> Tensor<4> {
        let weight = &self.tensors[&format!("{name}.weight")];
        let shape: [usize; 4] = weight.shape[..].try_into().expect("checked when opened");
        let padding = shape[2] / 2;
        let weight = floats(&weight.data, shape, &self.device);
        let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
        conv2d(x, weight, None, options)
    }

    /// What the library calls `features2`: the last features, rectified, their mean over the image.
    ///
    /// # Shapes
    /// - `x`: `[B, 1, h, w]` in -1024 to 1024
    /// - output: `[B, D]`, 1024 features for the published weights
    pub fn features(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.norm_relu("norm0", self.conv("conv0", x, 2));
        let pool = MaxPoolOptions::new([3, 3]).with_stride([2, 2]);
        let mut x = max_pool2d(x, pool.with_padding([1, 1]));
        for block in 1.. {
            for layer in 1..=self.layers(block) {
                let name = |part| format!("denseblock{block}.denselayer{layer}.{part}");
                let new = self.norm_relu(&name("norm1"), x.clone());
                let new = self.norm_relu(&name("norm2"), self.conv(&name("conv1"), new, 1));
                x = Tensor::cat(vec![x, self.conv(&name("conv2"), new, 1)], 1);
            }
            if self.layers(block + 1) == 0 {
                break;
            }
            x = self.norm_relu(&format!("transition{block}.norm"), x);
            x = self.conv(&format!("transition{block}.conv"), x, 1);
            x = avg_pool2d(x, AvgPoolOptions::new([2, 2]));
        }
        let x = self.norm_relu("norm5", x);
        let [b, c, h, w] = x.dims();
        x.reshape([b, c, h * w]).mean_dim(2).reshape([b, c])
    }

    /// The features of 8-bit grey images of `size` x `size` pixels, a row each.
    pub fn judge<'a>(&self, images: impl IntoIterator<Item = &'a [u8]>, size: usize) -> Features {
        let images: Vec<&[u8]> = images.into_iter().collect();
        let batches = images.len().div_ceil(BATCH) as u64;
        let mut features: Vec<f32> = vec![];
        for batch in images.chunks(BATCH).progress_count(batches) {
            let pixels: Vec<f32> = batch.iter().flat_map(|i| enlarged(i, size)).collect();
            let x = floats(&pixels, [batch.len(), 1, SIZE, SIZE], &self.device);
            features.extend(values(self.features(x)));
        }
        Features::new(features.len() / images.len().max(1), features)
    }
}

/// The library's `normalize` of an image that was brought to [`SIZE`] with linear interpolation.
fn enlarged(image: &[u8], size: usize) -> Vec<f32> {
    let image = GrayImage::from_raw(size as u32, size as u32, image.to_vec());
    let image = image.expect("an image of size x size pixels");
    let side = SIZE as u32;
    let image = imageops::resize(&image, side, side, imageops::FilterType::Triangle);
    let scaled = |p: u8| (2.0 * f32::from(p) / 255.0 - 1.0) * RANGE;
    image.into_raw().into_iter().map(scaled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/reference/goldens/densenet"
    );

    #[test]
    fn the_features_are_those_of_torchxrayvision() {
        let device = Device::flex();
        let network = DenseNet::open(&Path::new(GOLDEN).join("model.safetensors"), &device);
        let bytes = std::fs::read(Path::new(GOLDEN).join("case.safetensors")).unwrap();
        let case = SafeTensors::deserialize(&bytes).unwrap();
        let read = |name| {
            let words = case.tensor(name).unwrap().data().as_chunks::<4>().0;
            let values = words.iter().map(|w| f32::from_le_bytes(*w));
            values.collect::<Vec<f32>>()
        };
        let x = floats(&read("input.x"), [2, 1, 64, 64], &device);
        let found = network.unwrap().features(x).into_data();
        let (found, expected): (Vec<f32>, _) =
            (found.try_into_vec_as().unwrap(), read("output.features"));
        let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0.0, f32::max) / largest;
        assert_eq!(found.len(), expected.len());
        assert!(apart < 1e-5, "{apart}");
    }

    #[test]
    fn other_files_are_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let pickled = folder.path().join("xrv.pt");
        std::fs::write(&pickled, b"PK\x03\x04 a pickled object of Python").unwrap();
        let error = DenseNet::open(&pickled, &Device::flex()).err().unwrap();
        assert!(error.to_string().contains("save_file"), "{error}");
        let other = Path::new(GOLDEN).join("../metrics/case.safetensors");
        let error = DenseNet::open(&other, &Device::flex()).err().unwrap();
        assert!(
            error.to_string().contains("features.conv0.weight"),
            "{error}"
        );
    }
}
