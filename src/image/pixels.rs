//! Decoded values -> pixels in 8 bits.

use crate::weights::Weight;

/// An image in 8 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
    /// Row by row, channels interleaved, 0 is black.
    pub data: Vec<u8>,
}

impl Image {
    /// Rounds `[1, C, H, W]` in -1 to 1 to 8 bits; what lies outside is clamped.
    pub fn from_weight(image: &Weight) -> Self {
        let (channels, height, width) = (image.shape[1], image.shape[2], image.shape[3]);
        let plane = height * width;
        let mut data = Vec::with_capacity(plane * channels);
        for pixel in 0..plane {
            for channel in 0..channels {
                let value = image.data[channel * plane + pixel];
                data.push(((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8);
            }
        }
        Self {
            width,
            height,
            channels,
            data,
        }
    }

    /// Four bytes a pixel, opaque, as a canvas wants them.
    pub fn to_rgba(&self) -> Vec<u8> {
        self.data
            .chunks_exact(self.channels)
            .flat_map(|p| match p {
                [r, g, b] => [*r, *g, *b, 255],
                _ => [p[0], p[0], p[0], 255],
            })
            .collect()
    }
}
