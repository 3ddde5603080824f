//! The pixels that a convolution's taps see, read where they lie: a row of the product for each
//! pixel of the output, a piece of it for each tap.

use super::product::Rows;

/// Images `[B, h, w, C]` and how a convolution goes over them.
#[derive(Clone, Copy)]
pub struct Patches<'a> {
    /// `[B, h, w, C]`
    pub images: &'a [f32],
    /// Height and width.
    pub size: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// As many zeros as channels: what lies outside.
    pub outside: &'a [f32],
    /// Taps in a row and in a column.
    pub side: usize,
    /// Pixels from one output to the next.
    pub stride: usize,
    /// Zeros above and on the left.
    pub padding: usize,
    /// The images are read at twice their resolution.
    pub upsample: bool,
    /// Height and width of the output.
    pub out_size: [usize; 2],
}

impl Patches<'_> {
    /// The pixel in row `y` and column `x` of an image, which may be outside.
    #[inline(always)]
    pub fn pixel(&self, image: usize, y: isize, x: isize) -> &[f32] {
        let zoom = u32::from(self.upsample);
        let [h, w] = self.size;
        // Those above and on the left become large numbers.
        let (y, x) = (y as usize, x as usize);
        if y < h << zoom && x < w << zoom {
            let at = ((image * h + (y >> zoom)) * w + (x >> zoom)) * self.channels;
            &self.images[at..at + self.channels]
        } else {
            self.outside
        }
    }
}

impl Rows for Patches<'_> {
    type At = (usize, isize, isize);

    fn pieces(&self) -> usize {
        self.side * self.side
    }

    #[inline(always)]
    fn at(&self, i: usize) -> Self::At {
        let [h, w] = self.out_size;
        let place = |n: usize| (n * self.stride) as isize - self.padding as isize;
        (i / (h * w), place(i / w % h), place(i % w))
    }

    #[inline(always)]
    fn piece(&self, (image, y, x): Self::At, piece: usize) -> &[f32] {
        self.pixel(
            image,
            y + (piece / self.side) as isize,
            x + (piece % self.side) as isize,
        )
    }
}
