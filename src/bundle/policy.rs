//! Which number format each weight of a bundle is stored in.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Number format of one stored tensor, and at once the name of the policy that aims at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// 8-bit integers, one f16 scale for each block of 32.
    Q8,
    /// 4-bit integers, two in a byte, one f16 scale for each block of 32.
    Q4,
}

impl Precision {
    /// Suffix of the stored integers' name; none for plain numbers, which are stored under the
    /// tensor's own name.
    pub(crate) fn suffix(self) -> Option<&'static str> {
        match self {
            Precision::F32 | Precision::F16 => None,
            Precision::Q8 => Some("q8"),
            Precision::Q4 => Some("q4"),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Q8 => "q8",
            Precision::Q4 => "q4",
        })
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "f32" => Ok(Precision::F32),
            "f16" => Ok(Precision::F16),
            "q8" => Ok(Precision::Q8),
            "q4" => Ok(Precision::Q4),
            _ => Err(Error::request(
                "precision",
                format!("{name:?} is not known; use f32, f16, q8 or q4"),
            )),
        }
    }
}

/// Which number formats a bundle aims at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// One format, with the exceptions that [`precision_for`] makes.
    Uniform(Precision),
    /// q4 for the U-Net's matrices, q8 for its convolutions, for the text encoder and for the
    /// autoencoder.
    Mixed,
}

impl From<Precision> for Policy {
    fn from(precision: Precision) -> Self {
        Policy::Uniform(precision)
    }
}

impl FromStr for Policy {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "mixed" => Ok(Policy::Mixed),
            _ => name.parse().map(Policy::Uniform).map_err(|_| {
                Error::request(
                    "quantize",
                    format!("{name:?} is not known; use f32, f16, q8, q4 or mixed"),
                )
            }),
        }
    }
}

/// Weights at the edges of the networks: few numbers, and their error goes straight into the image,
/// the latents, a distance or, of the embeddings of time and of the text as a whole, into every
/// resnet.
const EDGES: [&str; 11] = [
    "unet.time_embedding.",
    "unet.add_embedding.",
    "unet.conv_in.",
    "unet.conv_out.",
    "vae.encoder.conv_in.",
    "vae.encoder.conv_out.",
    "vae.decoder.conv_in.",
    "vae.decoder.conv_out.",
    "vae.quant_conv.",
    "vae.post_quant_conv.",
    "reader.whitening.",
];

/// Columns below which a quantized row would be mostly scales and last partial blocks.
const SHORTEST_ROW: usize = super::BLOCK;

/// The number format for the tensor `name` (component first) of this `shape` in a bundle that aims
/// at `target`.
///
/// `f32` and `f16` are meant literally. The others quantize matrices and convolutions and keep as
/// f16: biases and normalisations, the first and last convolutions, the embeddings of time and of
/// the text as a whole, position embeddings, and rows shorter than a block. `q4` keeps as q8 the
/// token table, which touches everything, and the autoencoder, whose error the eye sees directly.
pub fn precision_for(target: impl Into<Policy>, name: &str, shape: &[usize]) -> Precision {
    let target = target.into();
    if let Policy::Uniform(plain @ (Precision::F32 | Precision::F16)) = target {
        return plain;
    }
    let columns: usize = shape.iter().skip(1).product();
    if shape.len() < 2
        || columns < SHORTEST_ROW
        || EDGES.iter().any(|edge| name.starts_with(edge))
        || name.ends_with("position_embedding.weight")
    {
        return Precision::F16;
    }
    let careful = name.starts_with("vae.") || name.ends_with("token_embedding.weight");
    let convolution = shape.iter().skip(2).product::<usize>() > 1;
    match target {
        Policy::Uniform(Precision::Q4) if careful => Precision::Q8,
        Policy::Uniform(precision) => precision,
        Policy::Mixed if name.starts_with("unet.") && !convolution => Precision::Q4,
        Policy::Mixed => Precision::Q8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Precision::*;

    #[test]
    fn policies() {
        let table: [(&str, &[usize], Precision, Precision, Precision); 12] = [
            ("unet.conv_in.weight", &[320, 4, 3, 3], F16, F16, F16),
            (
                "unet.mid_block.resnets.0.conv1.weight",
                &[64, 64, 3, 3],
                Q8,
                Q4,
                Q8,
            ),
            ("unet.mid_block.resnets.0.conv1.bias", &[64], F16, F16, F16),
            (
                "unet.mid_block.attentions.0.proj_in.weight",
                &[64, 64, 1, 1],
                Q8,
                Q4,
                Q4,
            ),
            (
                "unet.time_embedding.linear_1.weight",
                &[256, 64],
                F16,
                F16,
                F16,
            ),
            (
                "unet.add_embedding.pool.k_proj.weight",
                &[192, 192],
                F16,
                F16,
                F16,
            ),
            ("unet.conv_out.weight", &[4, 320, 3, 3], F16, F16, F16),
            (
                "vae.decoder.mid_block.resnets.0.conv1.weight",
                &[64, 64, 3, 3],
                Q8,
                Q8,
                Q8,
            ),
            ("vae.post_quant_conv.weight", &[4, 4, 1, 1], F16, F16, F16),
            (
                "text_encoder.embeddings.token_embedding.weight",
                &[1000, 64],
                Q8,
                Q8,
                Q8,
            ),
            (
                "text_encoder.embeddings.position_embedding.weight",
                &[77, 64],
                F16,
                F16,
                F16,
            ),
            (
                "text_encoder.encoder.layers.0.mlp.fc1.weight",
                &[256, 64],
                Q8,
                Q4,
                Q8,
            ),
        ];
        for (name, shape, q8, q4, mixed) in table {
            assert_eq!(precision_for(Q8, name, shape), q8, "{name}");
            assert_eq!(precision_for(Q4, name, shape), q4, "{name}");
            assert_eq!(precision_for(Policy::Mixed, name, shape), mixed, "{name}");
            assert_eq!(precision_for(F32, name, shape), F32, "{name}");
            assert_eq!(precision_for(F16, name, shape), F16, "{name}");
        }
    }

    #[test]
    fn names_round_trip() {
        for precision in [F32, F16, Q8, Q4] {
            assert_eq!(
                precision.to_string().parse::<Precision>().unwrap(),
                precision
            );
        }
        assert_eq!("int8".parse::<Precision>().unwrap_err().code(), "request");
        assert_eq!("mixed".parse::<Policy>().unwrap(), Policy::Mixed);
        assert_eq!("q4".parse::<Policy>().unwrap(), Policy::Uniform(Q4));
        assert_eq!("int8".parse::<Policy>().unwrap_err().code(), "request");
    }
}
