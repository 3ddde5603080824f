//! The grey-scale pipeline: stored values -> what a viewer shows (PS3.4, N.2; the modules are
//! PS3.3's).
//!
//! ```text
//! stored value -> modality LUT or rescale -> VOI LUT or window -> presentation: MONOCHROME1, INVERSE
//! ```
//!
//! A stored value has at most 16 bits, so the whole pipeline becomes one table. Held to pydicom,
//! which does the same with `apply_modality_lut` and `apply_voi_lut`.

use dicom_core::{PrimitiveValue, Tag};
use dicom_dictionary_std::tags;

use super::header::Header;

/// What a file says of the meaning of its stored values.
pub(super) struct Grey {
    encoding: Encoding,
    modality: Modality,
    voi: Option<Voi>,
    inverse: bool,
    /// Lowest and highest value that stands for no measurement (C.7.5.1.1.2).
    padding: Option<(f64, f64)>,
    /// Whether black and white are the ends of what the bits can hold, where no window says
    /// otherwise.
    full: bool,
}

/// How numbers are stored.
#[derive(Clone, Copy)]
struct Encoding {
    /// 1 to 16, the lowest of a stored value.
    bits: u32,
    signed: bool,
}

/// Stored values -> the modality's (C.11.1).
enum Modality {
    Table(Lut),
    Rescale { slope: f64, intercept: f64 },
}

/// The modality's values -> 0 to 1, black to white (C.11.2).
enum Voi {
    Table(Lut),
    Window(Window),
}

/// C.11.2.1.2
struct Window {
    center: f64,
    width: f64,
    function: Function,
}

/// C.11.2.1.3
#[derive(Clone, Copy, PartialEq)]
enum Function {
    Linear,
    LinearExact,
    Sigmoid,
}

/// A look-up table (C.11.1.1); values outside of its range get the first or the last entry.
struct Lut {
    first: f64,
    entries: Vec<u16>,
    /// The entry that stands for white.
    white: f64,
}

impl Grey {
    /// `allocated`: bits of a stored value with those that are not used, 8 or 16.
    ///
    /// # Errors
    /// The end of a sentence on the file which says why it is of no use.
    pub(super) fn new(header: &Header, allocated: u32) -> Result<Self, String> {
        let bits = header.whole(tags::BITS_STORED);
        let bits = bits.unwrap_or(allocated.into());
        if !(1..=u64::from(allocated)).contains(&bits) {
            return Err(format!("has {bits} of {allocated} bits a pixel"));
        }
        let encoding = Encoding {
            bits: bits as u32,
            signed: header.whole(tags::PIXEL_REPRESENTATION) == Some(1),
        };
        let modality = match Lut::read(header, tags::MODALITY_LUT_SEQUENCE, encoding.signed)? {
            Some(lut) => Modality::Table(lut),
            None => Modality::rescale(header),
        };
        let lowest = encoding.values().map(|value| modality.apply(value));
        let has_negative = lowest.fold(0.0, f64::min) < 0.0;
        let voi = match Lut::read(header, tags::VOILUT_SEQUENCE, has_negative)? {
            Some(lut) => Some(Voi::Table(lut)),
            None => Window::read(header).map(Voi::Window),
        };
        Ok(Self {
            encoding,
            modality,
            voi,
            inverse: is_inverse(header)?,
            padding: padding(header, encoding),
            full: allocated == 8,
        })
    }

    /// Whether the file says which values are black and white; else the darkest and the brightest
    /// one are. Eight bits without a window are taken as they are.
    pub(super) fn windowed(&self) -> bool {
        self.voi.is_some() || self.full
    }

    /// Replaces each stored value by what is shown, 0 (black) to 65535. Padding is shown black;
    /// returns how many pixels it is.
    pub(super) fn show(&self, pixels: &mut [u16]) -> usize {
        let values: Vec<f64> = self.encoding.values().collect();
        let is_padding = |value: f64| match self.padding {
            Some((low, high)) => low <= value && value <= high,
            None => false,
        };
        let mut counts = vec![0; values.len()];
        for pixel in pixels.iter_mut() {
            // Unused bits may hold anything, an overlay for one (pydicom's `correct_unused_bits`).
            *pixel &= (values.len() - 1) as u16;
            counts[usize::from(*pixel)] += 1;
        }
        let used = values.iter().zip(&counts);
        let used = used.filter(|(v, n)| self.full || **n > 0 && !is_padding(**v));
        let (mut low, mut high) = (f64::MAX, f64::MIN);
        for value in used.map(|(value, _)| self.modality.apply(*value)) {
            (low, high) = (low.min(value), high.max(value));
        }
        let shown = |value: &f64| {
            if is_padding(*value) {
                return 0;
            }
            let value = self.modality.apply(*value);
            let grey = match &self.voi {
                Some(voi) => voi.apply(value),
                None => (value - low) / (high - low).max(f64::MIN_POSITIVE),
            };
            let grey = if self.inverse { 1.0 - grey } else { grey };
            // A float-to-integer cast saturates.
            (grey * f64::from(u16::MAX)).round() as u16
        };
        let table: Vec<u16> = values.iter().map(shown).collect();
        for pixel in pixels.iter_mut() {
            *pixel = table[usize::from(*pixel)];
        }
        let padded = values.iter().zip(counts).filter(|(v, _)| is_padding(**v));
        padded.map(|(_, count)| count).sum()
    }
}

impl Encoding {
    /// The number of each stored value, from `0` to `2^bits - 1` as they are stored.
    fn values(self) -> impl Iterator<Item = f64> {
        (0..1u32 << self.bits).map(move |stored| self.value(stored))
    }

    /// The number that the lowest bits of `stored` stand for.
    fn value(self, stored: u32) -> f64 {
        let range = 1u32 << self.bits;
        let stored = stored & (range - 1);
        if self.signed && stored >= range / 2 {
            f64::from(stored) - f64::from(range)
        } else {
            f64::from(stored)
        }
    }
}

impl Modality {
    /// Rescale slope and intercept; where one is absent or no number, it changes nothing.
    fn rescale(header: &Header) -> Self {
        let number = |tag| header.numbers(tag)[0];
        let (slope, intercept) = (number(tags::RESCALE_SLOPE), number(tags::RESCALE_INTERCEPT));
        Self::Rescale {
            slope: if slope.is_finite() && slope != 0.0 {
                slope
            } else {
                1.0
            },
            intercept: if intercept.is_finite() {
                intercept
            } else {
                0.0
            },
        }
    }

    fn apply(&self, stored: f64) -> f64 {
        match self {
            Self::Table(lut) => lut.apply(stored),
            Self::Rescale { slope, intercept } => slope * stored + intercept,
        }
    }
}

impl Voi {
    fn apply(&self, value: f64) -> f64 {
        match self {
            Self::Table(lut) => lut.apply(value) / lut.white,
            Self::Window(window) => window.apply(value),
        }
    }
}

impl Window {
    /// The first window that is one.
    fn read(header: &Header) -> Option<Self> {
        let function = match header.text(tags::VOILUT_FUNCTION).as_deref() {
            Some("SIGMOID") => Function::Sigmoid,
            Some("LINEAR_EXACT") => Function::LinearExact,
            _ => Function::Linear,
        };
        let centers = header.numbers(tags::WINDOW_CENTER);
        let windows = centers.into_iter().zip(header.numbers(tags::WINDOW_WIDTH));
        let mut windows = windows.filter(|(center, width)| center.is_finite() && width.is_finite());
        let (center, width) = windows.find(|(_, width)| *width > 0.0)?;
        Some(Self {
            center,
            width,
            // LINEAR starts at a width of 1; rescaled values may have narrower windows all the
            // same.
            function: match function {
                Function::Linear if width < 1.0 => Function::LinearExact,
                function => function,
            },
        })
    }

    fn apply(&self, value: f64) -> f64 {
        let (center, width) = match self.function {
            Function::Sigmoid => {
                return 1.0 / (1.0 + (-4.0 * (value - self.center) / self.width).exp());
            }
            Function::LinearExact => (self.center, self.width),
            Function::Linear => (self.center - 0.5, self.width - 1.0),
        };
        if value <= center - width / 2.0 {
            0.0
        } else if value > center + width / 2.0 {
            1.0
        } else {
            (value - center) / width + 0.5
        }
    }
}

impl Lut {
    /// The first table of a sequence, `None` where there is none. `has_negative`: whether its input
    /// may be below 0, so that the first value mapped may be.
    fn read(header: &Header, sequence: Tag, has_negative: bool) -> Result<Option<Self>, String> {
        let Some((descriptor, data)) = header.table(sequence) else {
            return Ok(None);
        };
        let words = |value: &PrimitiveValue| -> Vec<u16> {
            match value {
                PrimitiveValue::U16(words) => words.to_vec(),
                PrimitiveValue::I16(words) => words.iter().map(|word| *word as u16).collect(),
                PrimitiveValue::U8(bytes) => {
                    let pairs = bytes.chunks_exact(2);
                    pairs
                        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                        .collect()
                }
                _ => vec![],
            }
        };
        let [count, first, bits] = words(descriptor)[..] else {
            return Err("has a look-up table without a descriptor of three numbers".into());
        };
        let count = if count == 0 {
            1 << 16
        } else {
            usize::from(count)
        };
        let mut entries = words(data);
        if bits <= 8 && entries.len() < count {
            // Two entries a word.
            entries = entries
                .iter()
                .flat_map(|word| word.to_le_bytes().map(u16::from))
                .collect();
        }
        if !(1..=16).contains(&bits) || entries.len() < count {
            let found = entries.len();
            return Err(format!(
                "has a look-up table of {found} entries, not {count} of {bits} bits"
            ));
        }
        entries.truncate(count);
        let is_signed = matches!(descriptor, PrimitiveValue::I16(_)) || has_negative;
        // Some units say 16 bits and use 12: white is the largest number of the bits that are used.
        let most = entries.iter().copied().max().unwrap_or(0);
        let used = (u16::BITS - most.leading_zeros()).min(u32::from(bits));
        let used = if used == 0 { u32::from(bits) } else { used };
        Ok(Some(Self {
            first: if is_signed {
                f64::from(first as i16)
            } else {
                f64::from(first)
            },
            entries,
            white: f64::from((1u32 << used) - 1),
        }))
    }

    fn apply(&self, value: f64) -> f64 {
        // A float-to-integer cast saturates at 0.
        let entry = (value - self.first).round() as usize;
        f64::from(self.entries[entry.min(self.entries.len() - 1)])
    }
}

/// Whether the lowest value is white. MONOCHROME1 says so (C.7.6.3.1.2), and so does INVERSE
/// (C.11.6), which digital radiographs repeat with MONOCHROME1 (C.8.11.3.1.2): together they turn
/// the image over once.
fn is_inverse(header: &Header) -> Result<bool, String> {
    let inverse = header.text(tags::PRESENTATION_LUT_SHAPE).as_deref() == Some("INVERSE");
    match header.text(tags::PHOTOMETRIC_INTERPRETATION).as_deref() {
        Some("MONOCHROME1") => Ok(true),
        Some("MONOCHROME2") => Ok(inverse),
        Some(other) => Err(format!("is {other}, not monochrome")),
        None => Err("does not say that it is monochrome".into()),
    }
}

/// C.7.5.1.1.2
fn padding(header: &Header, encoding: Encoding) -> Option<(f64, f64)> {
    let value = |tag| {
        let number = header.numbers(tag)[0];
        (number.is_finite()).then(|| encoding.value(number as i32 as u32))
    };
    let padding = value(tags::PIXEL_PADDING_VALUE)?;
    let limit = value(tags::PIXEL_PADDING_RANGE_LIMIT).unwrap_or(padding);
    Some((padding.min(limit), padding.max(limit)))
}
