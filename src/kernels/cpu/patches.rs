//! The pixels that a convolution's taps see, read where they lie: a row of the product for each pixel of the output, a piece of it
//! for each tap.

use super::product::Rows;

/// An image `[h, w, C]` and how a convolution goes over it.
pub struct Patches<'a> {
    /// `[h, w, C]`
    pub image: &'a [f32],
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
    /// The image is read at twice its resolution.
    pub doubled: bool,
    /// Width of the output.
    pub out_width: usize,
}

impl Patches<'_> {
    /// The pixel in row `y` and column `x`, which may be outside.
    #[inline(always)]
    pub fn pixel(&self, y: isize, x: isize) -> &[f32] {
        let zoom = u32::from(self.doubled);
        let [h, w] = self.size;
        // Those above and on the left become large numbers.
        let (y, x) = (y as usize, x as usize);
        if y < h << zoom && x < w << zoom {
            let at = ((y >> zoom) * w + (x >> zoom)) * self.channels;
            &self.image[at..at + self.channels]
        } else {
            self.outside
        }
    }
}

impl Rows for Patches<'_> {
    type At = (isize, isize);

    fn pieces(&self) -> usize {
        self.side * self.side
    }

    #[inline(always)]
    fn at(&self, i: usize) -> (isize, isize) {
        let place = |n: usize| (n * self.stride) as isize - self.padding as isize;
        (place(i / self.out_width), place(i % self.out_width))
    }

    #[inline(always)]
    fn piece(&self, (y, x): (isize, isize), piece: usize) -> &[f32] {
        self.pixel(
            y + (piece / self.side) as isize,
            x + (piece % self.side) as isize,
        )
    }
}
