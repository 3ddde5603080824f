//! Decoded values -> pixels in 8 bits, and back.

use crate::tensor::HostTensor;

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
    pub fn from_weight(image: &HostTensor) -> Self {
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

    /// `[1, channels, H, W]` in -1 to 1. Colours are mixed to grey (ITU-R BT.601) where `channels`
    /// is 1, and grey is repeated where it is more; opacity is ignored.
    pub fn to_weight(&self, channels: usize) -> HostTensor {
        let grey = |p: &[u8]| match p {
            [r, g, b, ..] => 0.299 * f32::from(*r) + 0.587 * f32::from(*g) + 0.114 * f32::from(*b),
            _ => f32::from(p[0]),
        };
        let value = |p: &[u8], channel: usize| match self.channels {
            3 | 4 if channels > 1 => f32::from(p[channel]),
            _ => grey(p),
        };
        let pixels = || self.data.chunks_exact(self.channels);
        let planes = (0..channels).flat_map(|c| pixels().map(move |p| value(p, c) / 127.5 - 1.0));
        HostTensor {
            shape: vec![1, channels, self.height, self.width],
            data: planes.collect(),
        }
    }

    /// The same in grey, mixed as [`Self::to_weight`] does.
    pub fn to_grey(&self) -> Self {
        Self::from_weight(&self.to_weight(1))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_nothing_changes() {
        let grey = Image {
            width: 16,
            height: 16,
            channels: 1,
            data: (0..=255).collect(),
        };
        assert_eq!(Image::from_weight(&grey.to_weight(1)), grey);
        let rgba = Image {
            channels: 4,
            data: grey.to_rgba(),
            ..grey.clone()
        };
        assert_eq!(Image::from_weight(&rgba.to_weight(1)), grey);
        let rgb = Image::from_weight(&grey.to_weight(3));
        assert_eq!(rgb.to_rgba(), rgba.data);
        let red = Image {
            width: 1,
            height: 1,
            channels: 3,
            data: vec![255, 0, 0],
        };
        assert_eq!(Image::from_weight(&red.to_weight(3)), red);
        assert_eq!(Image::from_weight(&red.to_weight(1)).data, [76]);
    }
}
