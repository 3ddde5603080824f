//! Tensors in memory -> a safetensors file. The library's writer wants a copy of all bytes, and
//! leaves files of names that nobody knows when it is interrupted.

use std::io::Write;
use std::path::Path;

use half::f16;
use roentgen_web::error::{Error, Result};
use roentgen_web::files;
use serde_json::{Map, Value, json};

/// The header's length is a multiple of this, so that the numbers are aligned.
const ALIGNMENT: usize = 8;

/// Number format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 32 bits.
    F32,
    /// 16 bits, of which 5 are exponent: values above 65,504 become infinite.
    F16,
}

/// Writes tensors (name, shape, values), in their order. `metadata`: what the file says of itself,
/// if anything.
///
/// # Errors
/// [`Error::Io`].
pub fn write<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, Vec<usize>, &'a [f32])>,
    format: Format,
    metadata: Option<Value>,
) -> Result<()> {
    let (dtype, bytes) = match format {
        Format::F32 => ("F32", 4),
        Format::F16 => ("F16", 2),
    };
    let mut header = Map::new();
    let (mut all, mut end) = (vec![], 0);
    for (name, shape, data) in tensors {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "{name}");
        let start = end;
        end += bytes * data.len();
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]});
        header.insert(name, entry);
        all.push(data);
    }
    if let Some(metadata) = metadata {
        header.insert("__metadata__".into(), metadata);
    }
    let mut header = Value::from(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
    files::replace_with(path, |file| {
        let write = || {
            file.write_all(&(header.len() as u64).to_le_bytes())?;
            file.write_all(&header)?;
            for value in all.into_iter().flatten() {
                match format {
                    Format::F32 => file.write_all(&value.to_le_bytes())?,
                    Format::F16 => file.write_all(&f16::from_f32(*value).to_le_bytes())?,
                }
            }
            Ok(())
        };
        write().map_err(Error::io(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;

    #[test]
    fn the_library_reads_what_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        let values = [1.5, -2.0, f32::MIN_POSITIVE, 4.0, 5.0];
        let tensors = [
            ("b \"".to_string(), vec![2, 2], &values[..4]),
            ("a".into(), vec![], &values[4..]),
            ("c".into(), vec![0, 3], &values[..0]),
        ];
        let metadata = Some(json!({"format": "pt"}));
        write(&path, tensors.clone(), Format::F32, metadata).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let (header, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header % ALIGNMENT, 0);
        let metadata = metadata.metadata().clone().unwrap();
        assert_eq!(metadata["format"], "pt");
        let read = SafeTensors::deserialize(&bytes).unwrap();
        for (name, shape, data) in tensors.clone() {
            let tensor = read.tensor(&name).unwrap();
            assert_eq!(tensor.shape(), shape);
            let bytes: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
            assert_eq!(tensor.data(), bytes);
        }
        assert_eq!(read.len(), 3);

        write(&path, tensors, Format::F16, None).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let read = SafeTensors::deserialize(&bytes).unwrap();
        let halves = [1.5, -2.0, 0.0, 4.0].map(|x| f16::from_f32(x).to_le_bytes());
        let found = read.tensor("b \"").unwrap();
        assert_eq!(found.dtype(), safetensors::Dtype::F16);
        assert_eq!(found.data(), halves.as_flattened());
    }
}
