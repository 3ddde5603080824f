//! Shards -> weights, one shard in memory at a time.

use super::{
    Manifest, Precision, TensorEntry,
    quantize::{BLOCK, Quantized, matrix, row_bytes},
};
use crate::{
    Error, Result,
    tensor::HostTensor,
    weights::{Stored, StoredWeights, Weights},
};
use half::{f16, slice::HalfFloatSliceExt};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// Decodes the shards of a bundle in their order and joins the tensors that are split over several.
#[derive(Debug)]
pub struct ShardReader {
    manifest: Manifest,
    next: usize,
    /// First rows of tensors whose other rows are in later shards.
    begun: StoredWeights,
}

impl ShardReader {
    /// A decoder that expects the first shard of this bundle.
    pub fn new(manifest: Manifest) -> Self {
        Self {
            manifest,
            next: 0,
            begun: StoredWeights::new(),
        }
    }

    /// The manifest that is being followed.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Checks and decodes shard `index`; gives the tensors that are complete with it.
    ///
    /// # Errors
    /// As [`Self::read_shard`].
    pub fn decode_shard(&mut self, index: usize, bytes: &[u8]) -> Result<Weights> {
        let stored = self.read_shard(index, bytes)?;
        let decoded = stored.into_iter().map(|(name, w)| (name, w.decode()));
        Ok(decoded.collect())
    }

    /// Checks shard `index`; gives the tensors that are complete with it, quantized ones as they
    /// are stored.
    ///
    /// # Errors
    /// [`Error::Request`]: not the shard that comes next. [`Error::FileSize`], [`Error::Hash`]: not
    /// the manifest's bytes. [`Error::Safetensors`]: no such file. [`Error::UnknownTensor`],
    /// [`Error::MissingTensor`]: it holds other tensors than the manifest says.
    /// [`Error::StoredAs`], [`Error::TensorShape`], [`Error::Quantized`], [`Error::Scale`],
    /// [`Error::NotFinite`]: a tensor is not what it should be.
    pub fn read_shard(&mut self, index: usize, bytes: &[u8]) -> Result<StoredWeights> {
        let Some(file) = self
            .manifest
            .shards
            .get(index)
            .filter(|_| index == self.next)
        else {
            let why = format!(
                "{index} was given where {} of {} comes next",
                self.next,
                self.manifest.shards.len()
            );
            return Err(Error::request("shard", why));
        };
        file.verify(bytes)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| Error::Safetensors {
            file: file.file.clone(),
            why: e.to_string(),
        })?;
        let mut unseen: std::collections::BTreeSet<&str> = tensors.names().into_iter().collect();

        let mut weights = StoredWeights::new();
        for (name, entry) in &self.manifest.tensors {
            if !entry.shards.contains(&index) {
                continue;
            }
            let mut stored = Vec::with_capacity(2);
            for key in entry.stored_names(name) {
                unseen.remove(key.as_str());
                stored.push(
                    tensors
                        .tensor(&key)
                        .map_err(|_| Error::MissingTensor { name: key })?,
                );
            }
            let part = read(name, entry, &stored)?;
            let whole = match self.begun.remove(name) {
                None => part,
                Some(rows) => rows.above(part),
            };
            let (found, expected) = (whole.count(), entry.shape.iter().product());
            let last = entry.shards.last() == Some(&index);
            if found > expected || (last && found < expected) {
                let row = entry.shape.iter().skip(1).product::<usize>();
                let mut shape = entry.shape.clone();
                shape[0] = found / row;
                return Err(Error::TensorShape {
                    name: name.clone(),
                    expected: entry.shape.clone(),
                    found: shape,
                });
            }
            let weights = if last { &mut weights } else { &mut self.begun };
            weights.insert(name.clone(), whole);
        }
        if let Some(name) = unseen.first() {
            return Err(Error::UnknownTensor {
                name: (*name).into(),
            });
        }
        self.next += 1;
        Ok(weights)
    }

    /// # Errors
    /// [`Error::Request`] if shards are still to come.
    pub fn finish(self) -> Result<()> {
        let (given, all) = (self.next, self.manifest.shards.len());
        if given < all {
            return Err(Error::request(
                "shard",
                format!("{given} of {all} is still missing"),
            ));
        }
        Ok(())
    }
}

/// The rows of one tensor that a shard holds. Its data are as long as its own shape says:
/// safetensors has checked that.
fn read(name: &str, entry: &TensorEntry, stored: &[TensorView]) -> Result<Stored> {
    let shape = entry.shape.clone();
    let whole = entry.shards.len() == 1;
    match (entry.dtype, stored) {
        (Precision::F32 | Precision::F16, [plain]) => {
            let fits = match (plain.shape(), &entry.shape[..]) {
                (found, expected) if whole => found == expected,
                ([rows, found @ ..], [_, expected @ ..]) => *rows > 0 && found == expected,
                _ => false,
            };
            if !fits {
                let (expected, found) = (entry.shape.clone(), plain.shape().to_vec());
                return Err(Error::TensorShape {
                    name: name.into(),
                    expected,
                    found,
                });
            }
            let dtype = if entry.dtype == Precision::F32 {
                Dtype::F32
            } else {
                Dtype::F16
            };
            expect_type(name, plain, dtype)?;
            let data = decode_plain(name, plain)?;
            Ok(Stored::Plain(HostTensor { shape, data }))
        }
        (Precision::Q8 | Precision::Q4, [ints, scales]) => {
            let (rows, columns) = matrix(&entry.shape);
            let (bits, dtype) = match entry.dtype {
                Precision::Q8 => (8, Dtype::I8),
                _ => (4, Dtype::U8),
            };
            expect_type(name, ints, dtype)?;
            expect_type(name, scales, Dtype::F16)?;
            let fit = |what: &str, view: &TensorView, width: usize| match view.shape() {
                [n, w]
                    if *w == width && *n > 0 && (if whole { *n == rows } else { *n <= rows }) =>
                {
                    Ok(*n)
                }
                found => {
                    let why = format!(
                        "its {what} have the shape {found:?} where [{rows}, {width}] is expected"
                    );
                    Err(Error::Quantized {
                        name: name.into(),
                        why,
                    })
                }
            };
            let int_rows = fit("integers", ints, row_bytes(bits, columns))?;
            let scale_rows = fit("scales", scales, columns.div_ceil(BLOCK))?;
            if int_rows != scale_rows {
                let why =
                    format!("it has {int_rows} rows of integers and {scale_rows} rows of scales");
                return Err(Error::Quantized {
                    name: name.into(),
                    why,
                });
            }
            let scales = halves(scales.data()).collect();
            let quantized = Quantized::new(name, bits, columns, ints.data(), scales)?;
            Ok(Stored::Quantized { shape, quantized })
        }
        _ => unreachable!("stored_names gives one name for plain and two for quantized tensors"),
    }
}

fn expect_type(name: &str, view: &TensorView, dtype: Dtype) -> Result<()> {
    if view.dtype() == dtype {
        return Ok(());
    }
    let (expected, found) = (dtype.to_string(), view.dtype().to_string());
    Err(Error::StoredAs {
        name: name.into(),
        expected,
        found,
    })
}

/// A plain tensor of any floating-point type as f32.
///
/// # Errors
/// [`Error::TensorType`] for other types, [`Error::NotFinite`] for NaN or infinity.
pub fn decode_plain(name: &str, view: &TensorView) -> Result<Vec<f32>> {
    let bytes = view.data();
    let data: Vec<f32> = match view.dtype() {
        Dtype::F32 => bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect(),
        Dtype::F16 => {
            let halves: Vec<f16> = halves(bytes).collect();
            let mut out = vec![0.0; halves.len()];
            halves.convert_to_f32_slice(&mut out);
            out
        }
        Dtype::BF16 => bytes
            .chunks_exact(2)
            .map(|b| f32::from_bits(u32::from_le_bytes([0, 0, b[0], b[1]])))
            .collect(),
        Dtype::F64 => bytes
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32)
            .collect(),
        other => {
            return Err(Error::TensorType {
                name: name.into(),
                dtype: other.to_string(),
            });
        }
    };
    if data.iter().any(|x| !x.is_finite()) {
        return Err(Error::NotFinite { name: name.into() });
    }
    Ok(data)
}

/// Little-endian f16 at any alignment.
fn halves(bytes: &[u8]) -> impl Iterator<Item = f16> + '_ {
    bytes
        .chunks_exact(2)
        .map(|b| f16::from_le_bytes([b[0], b[1]]))
}
