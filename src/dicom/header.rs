//! DICOM file -> the elements that an image and its description need, and where its pixels lie.
//!
//! The data set is read as a stream of tokens: values that nobody asks for are skipped, nested
//! sequences cost no stack, and no length is believed before it is compared with the file's.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Seek, SeekFrom};

use dicom_core::{PrimitiveValue, Tag, header::DataElementHeader};
use dicom_dictionary_std::{tags, uids};
use dicom_parser::dataset::LazyDataToken;
use dicom_parser::dataset::lazy_read::LazyDataSetReader;
use dicom_parser::stateful::decode::StatefulDecode;
use dicom_transfer_syntax_registry::{TransferSyntax, TransferSyntaxIndex, TransferSyntaxRegistry};
use flate2::read::DeflateDecoder;

use super::fault;
use crate::limits;

/// Bytes of the preamble and of `DICM` after it.
const PREAMBLE: usize = 132;

/// The elements that are kept; all others are skipped.
const KEPT: [Tag; 24] = [
    tags::SPECIFIC_CHARACTER_SET,
    tags::MODALITY,
    tags::PATIENT_ID,
    tags::PATIENT_SEX,
    tags::PATIENT_AGE,
    tags::VIEW_POSITION,
    tags::DERIVATION_DESCRIPTION,
    tags::IMAGE_COMMENTS,
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::NUMBER_OF_FRAMES,
    tags::ROWS,
    tags::COLUMNS,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::PIXEL_REPRESENTATION,
    tags::PIXEL_PADDING_VALUE,
    tags::PIXEL_PADDING_RANGE_LIMIT,
    tags::WINDOW_CENTER,
    tags::WINDOW_WIDTH,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
    tags::VOILUT_FUNCTION,
    tags::PRESENTATION_LUT_SHAPE,
];

/// The sequences of look-up tables; their first item is kept.
const TABLES: [Tag; 2] = [tags::MODALITY_LUT_SEQUENCE, tags::VOILUT_SEQUENCE];

/// What is kept of a table's item.
const TABLE: [Tag; 2] = [tags::LUT_DESCRIPTOR, tags::LUT_DATA];

/// Where the pixel data lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct PixelData {
    /// Byte of the file, or of the inflated data set, at which its value begins.
    pub start: u64,
    /// Bytes of its value; `None` where it is encapsulated in fragments.
    pub length: Option<u32>,
}

/// What a file says before its pixels. An element that is there and empty counts as absent.
#[derive(Debug, Default)]
pub struct Header {
    /// By sequence (`None` for the data set itself) and tag.
    elements: BTreeMap<(Option<Tag>, Tag), PrimitiveValue>,
    pub(super) transfer_syntax: String,
    pub(super) pixel_data: Option<PixelData>,
    /// The data set, where the file holds it deflated.
    pub(super) inflated: Option<Vec<u8>>,
}

/// Whether a file begins as DICOM files do: 128 bytes of anything, then `DICM`.
pub fn is_dicom(bytes: &[u8]) -> bool {
    bytes.get(PREAMBLE - 4..PREAMBLE) == Some(b"DICM")
}

impl Header {
    /// Reads a file up to its pixel data.
    ///
    /// # Errors
    /// The end of a sentence on the file which says why it is of no use.
    pub fn read(mut source: impl Read + Seek) -> Result<Self, String> {
        let mut start = [0; PREAMBLE];
        if source.read_exact(&mut start).is_err() || !is_dicom(&start) {
            return Err("is no DICOM file".into());
        }
        let mut header = Self {
            transfer_syntax: transfer_syntax(&mut source).map_err(|_| "is cut off")?,
            ..Self::default()
        };
        if header.transfer_syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
            let data = inflate(source, limits::DICOM_INFLATED_BYTES)?;
            header.walk(Cursor::new(&data))?;
            header.inflated = Some(data);
        } else {
            header.walk(source)?
        }
        Ok(header)
    }

    /// Reads the data set at which `source` stands.
    fn walk(&mut self, mut source: impl Read + Seek) -> Result<(), String> {
        let bytes = size(&mut source).map_err(|e| e.to_string())?;
        let syntax = encoding(&self.transfer_syntax).ok_or("has an unknown transfer syntax")?;
        let mut reader = LazyDataSetReader::new_with_ts(source, syntax).map_err(|e| fault(&e))?;
        let mut place = Place::default();
        while let Some(token) = reader.advance() {
            let token = token.map_err(|e| fault(&e))?;
            let length = match &token {
                LazyDataToken::ElementHeader(it) if it.tag == tags::PIXEL_DATA => {
                    Some(it.len.get())
                }
                LazyDataToken::PixelSequenceStart => Some(None),
                _ => None,
            };
            if let (Some(length), 0) = (length, place.depth) {
                let start = reader.into_decoder().position();
                self.pixel_data = Some(PixelData { start, length });
                break;
            }
            match token {
                LazyDataToken::LazyValue { header, decoder } => {
                    if u64::from(header.len.0) > bytes {
                        return Err(format!("is cut off at {}", header.tag));
                    }
                    self.keep(place.wants(header.tag), &header, decoder)?;
                }
                LazyDataToken::LazyItemValue { .. } => token.skip().map_err(|e| fault(&e))?,
                token => place.step(&token)?,
            }
        }
        Ok(())
    }

    /// Keeps a value under a key, or skips it.
    fn keep(
        &mut self,
        key: Option<(Option<Tag>, Tag)>,
        header: &DataElementHeader,
        decoder: &mut impl StatefulDecode,
    ) -> Result<(), String> {
        let length = header.len.0;
        let Some(key) = key else {
            return decoder.skip_bytes(length).map_err(|e| fault(&e));
        };
        if length > limits::DICOM_VALUE_BYTES {
            let tag = header.tag;
            return Err(format!("has {length} bytes in {tag}, which are too many"));
        }
        let value = decoder.read_value_preserved(header);
        let value = value.map_err(|e| fault(&e))?;
        if !is_blank(&value) {
            self.elements.insert(key, value);
        }
        Ok(())
    }

    /// An element's text without its padding; several values are joined by backslashes.
    pub fn text(&self, tag: Tag) -> Option<String> {
        let text = match self.elements.get(&(None, tag))? {
            // Some programs write what they do not know, anonymised elements for one, as bytes.
            PrimitiveValue::U8(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            value => value.to_str().into_owned(),
        };
        Some(text.trim_matches(PADDING).to_string())
    }

    /// An element's numbers in their order; NaN where one is none.
    pub fn numbers(&self, tag: Tag) -> Vec<f64> {
        let text = self.text(tag).unwrap_or_default();
        let number = |text: &str| text.trim_matches(PADDING).parse().unwrap_or(f64::NAN);
        text.split('\\').map(number).collect()
    }

    /// An element's first number, if it is a whole one of at least 0.
    pub fn whole(&self, tag: Tag) -> Option<u64> {
        let number = self.numbers(tag)[0];
        (number >= 0.0 && number.fract() == 0.0).then_some(number as u64)
    }

    /// Descriptor and entries of the first table of a sequence.
    pub(super) fn table(&self, sequence: Tag) -> Option<(&PrimitiveValue, &PrimitiveValue)> {
        let part = |tag| self.elements.get(&(Some(sequence), tag));
        part(tags::LUT_DESCRIPTOR).zip(part(tags::LUT_DATA))
    }
}

/// Where in the tree of sequences and items the reader is.
#[derive(Default)]
struct Place {
    /// 0 in the data set itself, 1 in a sequence of it, 2 in an item of that, and so on.
    depth: u32,
    /// The outermost sequence.
    sequence: Option<Tag>,
    /// Its items so far.
    items: u32,
}

impl Place {
    /// Enters or leaves a sequence or an item.
    fn step<D>(&mut self, token: &LazyDataToken<D>) -> Result<(), String> {
        let in_sequence = !self.depth.is_multiple_of(2);
        match token {
            LazyDataToken::SequenceStart { .. } | LazyDataToken::PixelSequenceStart => {
                if let (0, LazyDataToken::SequenceStart { tag, .. }) = (self.depth, token) {
                    (self.sequence, self.items) = (Some(*tag), 0);
                }
                self.depth += 1;
            }
            LazyDataToken::ItemStart { .. } => {
                self.items += u32::from(self.depth == 1);
                self.depth += 1;
            }
            LazyDataToken::SequenceEnd if in_sequence => self.depth -= 1,
            LazyDataToken::ItemEnd if !in_sequence && self.depth > 0 => self.depth -= 1,
            // The library would go on, and panic at the next item.
            LazyDataToken::SequenceEnd | LazyDataToken::ItemEnd => {
                return Err("ends an item or a sequence that never began".into());
            }
            _ => {}
        }
        Ok(())
    }

    /// The key under which the value of `tag` is kept, if it is.
    fn wants(&self, tag: Tag) -> Option<(Option<Tag>, Tag)> {
        match self.depth {
            0 if KEPT.contains(&tag) => Some((None, tag)),
            2 if self.items == 1 && TABLE.contains(&tag) => {
                let sequence = self.sequence.filter(|tag| TABLES.contains(tag));
                sequence.map(|sequence| (Some(sequence), tag))
            }
            _ => None,
        }
    }
}

/// What may stand around a text (PS3.5, 6.2).
const PADDING: [char; 2] = ['\0', ' '];

fn is_blank(value: &PrimitiveValue) -> bool {
    match value {
        PrimitiveValue::Str(text) => text.trim_matches(PADDING).is_empty(),
        PrimitiveValue::Strs(texts) => texts.iter().all(|t| t.trim_matches(PADDING).is_empty()),
        _ => value.multiplicity() == 0,
    }
}

/// Bytes of all that a source has; it stands where it stood.
fn size(source: &mut impl Seek) -> io::Result<u64> {
    let here = source.stream_position()?;
    let end = source.seek(SeekFrom::End(0))?;
    source.seek(SeekFrom::Start(here))?;
    Ok(end)
}

/// The transfer syntax that the file's meta information names (PS3.10, 7.1); `source` then stands
/// at the data set. The group's own length is not read: it is often wrong.
fn transfer_syntax(source: &mut (impl Read + Seek)) -> io::Result<String> {
    let mut uid = String::new();
    loop {
        let start = source.stream_position()?;
        let mut head = [0; 8];
        source.read_exact(&mut head)?;
        let [2, 0, element, 0, vr @ .., low, high] = head else {
            source.seek(SeekFrom::Start(start))?;
            return Ok(uid);
        };
        let length = match &vr {
            b"OB" | b"OW" | b"UN" | b"UT" | b"SQ" => {
                let mut length = [0; 4];
                source.read_exact(&mut length)?;
                u32::from_le_bytes(length)
            }
            _ => u32::from(u16::from_le_bytes([low, high])),
        };
        let value = source.stream_position()?;
        if element == 0x10 {
            let mut bytes = Vec::new();
            // What is longer than 64 bytes is no UID.
            source
                .by_ref()
                .take(u64::from(length.min(64)))
                .read_to_end(&mut bytes)?;
            uid = String::from_utf8_lossy(&bytes)
                .trim_end_matches(PADDING)
                .into();
        }
        source.seek(SeekFrom::Start(value + u64::from(length)))?;
    }
}

/// How the elements of a data set are encoded; its pixels may be encoded in any way.
fn encoding(uid: &str) -> Option<&'static TransferSyntax> {
    TransferSyntaxRegistry
        .get(uid)
        .or_else(|| TransferSyntaxRegistry.get(uids::EXPLICIT_VR_LITTLE_ENDIAN))
}

/// Inflates, but not for ever.
pub(super) fn inflate(source: impl Read, most: u64) -> Result<Vec<u8>, String> {
    let mut data = Vec::new();
    let read = DeflateDecoder::new(source)
        .take(most + 1)
        .read_to_end(&mut data);
    read.map_err(|e| format!("cannot be inflated: {e}"))?;
    if data.len() as u64 > most {
        Err(format!("inflates to more than {} MB", most >> 20))
    } else {
        Ok(data)
    }
}
