//! Pictures and radiographs of every kind against what pydicom and Pillow read, and those that are
//! made to do harm.
#![cfg(feature = "pictures")]

mod common;

use std::collections::BTreeMap;
use std::io::Write;

use common::golden;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use flate2::Compression;
use flate2::write::{DeflateEncoder, ZlibEncoder};
use roentgen_web::dicom::read::read;
use roentgen_web::limits;
use roentgen_web::picture::Picture;
use serde::Deserialize;

#[derive(Deserialize)]
struct Radiograph {
    values: Vec<i32>,
    windowed: bool,
    padded: usize,
}

#[derive(Deserialize)]
struct Pixels {
    width: u32,
    height: u32,
    channels: usize,
    pixels: Vec<i32>,
}

fn cases<T: for<'de> Deserialize<'de>>(folder: &str) -> BTreeMap<String, T> {
    let file = golden(folder).join("cases.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[test]
fn radiographs_are_shown_as_by_pydicom() {
    let cases = cases::<Radiograph>("radiographs");
    assert!(cases.len() > 40);
    for (name, case) in cases {
        let bytes = std::fs::read(golden("radiographs").join(format!("{name}.dcm"))).unwrap();
        let found = read(&bytes).unwrap_or_else(|why| panic!("{name} {why}"));
        assert_eq!((found.width, found.height), (12, 8), "{name}");
        assert_eq!(found.windowed, case.windowed, "{name}");
        assert_eq!(found.padded, case.padded, "{name}");
        let off = |(a, b): (&u16, &i32)| (i32::from(*a) - b).abs();
        let most = found.values.iter().zip(&case.values).map(off).max();
        // Two decoders of lossy JPEG differ by a grey level.
        let allowed = if name == "jpeg" { 257 } else { 1 };
        assert!(most <= Some(allowed), "{name} is off by {most:?} of 65535");
    }
}

#[test]
fn pictures_are_read_as_by_pillow() {
    for (name, case) in cases::<Pixels>("pictures") {
        let file = golden("pictures").join(&name);
        let found = Picture::open(&file).unwrap().fit(case.width, case.height);
        assert_eq!(found.channels, case.channels, "{name}");
        let off = |(a, b): (&u8, &i32)| (i32::from(*a) - b).abs();
        let most = found.data.iter().zip(&case.pixels).map(off).max();
        let allowed = if name.ends_with(".jpg") { 3 } else { 1 };
        assert!(most <= Some(allowed), "{name} is off by {most:?}");
        // The page has its engine read what the browser would show too dark.
        let bytes = std::fs::read(file).unwrap();
        if name.contains("bits-1") || name.starts_with("colours") {
            assert_eq!(
                roentgen_web::png::decode_wide(&bytes).unwrap(),
                found,
                "{name}"
            );
        }
    }
}

#[test]
fn the_middle_is_cropped_before_it_is_resized() {
    // A picture of one pixel by eight million, which would be a thousand million pixels if it were
    // resized first.
    let tall = Picture::decode(&png(1, 8_000_000, 8)).unwrap();
    let found = tall.fit(128, 128);
    assert_eq!(
        (found.width, found.height, found.data.len()),
        (128, 128, 128 * 128)
    );
    let wide = image::GrayImage::from_fn(300, 100, |x, _| {
        image::Luma([if x / 100 == 1 { 200 } else { 10 }])
    });
    let wide = Picture::Other(image::DynamicImage::ImageLuma8(wide));
    assert_eq!(wide.fit(50, 50).data, [200; 2500]);
}

#[test]
fn large_and_damaged_pictures_are_refused_in_one_line() {
    let refused = |bytes: &[u8]| {
        let why = Picture::decode(bytes).err().expect("it is refused");
        assert!(!why.contains('\n') && why.len() > 5, "{why:?}");
        why
    };
    assert!(refused(&png(60_000, 60_000, 8)).contains("60000x60000"));
    assert!(refused(&png(1 << 30, 1 << 30, 8)).len() < 200);
    refused(b"");
    refused(b"GIF89a and more");
    refused(b"II*\0and more");
    let jpeg = std::fs::read(golden("pictures").join("progressive.jpg")).unwrap();
    refused(&jpeg[..100]);
    // A thousand scans: each a marker that says nothing new.
    let mut scans = jpeg[..jpeg.len() - 2].to_vec();
    scans.extend([0xff, 0xda, 0x00, 0x08, 1, 1, 0, 0, 63, 0].repeat(3_000_000));
    assert!(refused(&scans).contains("scans"));
}

/// A grey PNG whose rows are missing but for a few.
fn png(width: u32, height: u32, bits: u8) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], body: &[u8]| {
        bytes.extend((body.len() as u32).to_be_bytes());
        let both = [kind, body].concat();
        bytes.extend(&both);
        let mut crc = flate2::Crc::new();
        crc.update(&both);
        bytes.extend(crc.sum().to_be_bytes());
    };
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    chunk(b"IHDR", &[&size[..], &[bits, 0, 0, 0, 0]].concat());
    let mut rows = ZlibEncoder::new(vec![], Compression::fast());
    let size = (u64::from(width) + 1) * u64::from(height);
    rows.write_all(&vec![0; size.min(1 << 24) as usize])
        .unwrap();
    chunk(b"IDAT", &rows.finish().unwrap());
    chunk(b"IEND", b"");
    bytes
}

/// A radiograph of 16 bits whose pixel data is given, with its length as it is stored.
fn dicom(syntax: &str, side: u16, pixels: &[u8]) -> Vec<u8> {
    let mut object = InMemDicomObject::new_empty();
    let mut put = |tag: Tag, vr: VR, value: PrimitiveValue| {
        object.put(DataElement::new(tag, vr, value));
    };
    put(
        tags::SOP_CLASS_UID,
        VR::UI,
        uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE.into(),
    );
    put(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3".into());
    put(
        tags::PHOTOMETRIC_INTERPRETATION,
        VR::CS,
        "MONOCHROME2".into(),
    );
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::ROWS, side),
        (tags::COLUMNS, side),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, 16),
        (tags::HIGH_BIT, 15),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        put(tag, VR::US, value.into());
    }
    let mut bytes = vec![];
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let meta = object.with_meta(meta).unwrap();
    meta.write_all(&mut bytes).unwrap();
    // The library writes only what it can also read.
    let own = uids::EXPLICIT_VR_LITTLE_ENDIAN.as_bytes();
    let at = bytes
        .windows(own.len())
        .rposition(|window| window == own)
        .unwrap();
    let mut uid = syntax.as_bytes().to_vec();
    uid.resize(uid.len().next_multiple_of(2), 0);
    bytes[at - 2..at].copy_from_slice(&(uid.len() as u16).to_le_bytes());
    bytes.splice(at..at + own.len().next_multiple_of(2), uid);
    let data = bytes.split_off(data_set(&bytes));
    let data = [&data, pixels].concat();
    if syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
        let mut deflated = DeflateEncoder::new(bytes, Compression::fast());
        deflated.write_all(&data).unwrap();
        deflated.finish().unwrap()
    } else {
        [bytes, data].concat()
    }
}

/// Where the first element behind the meta information begins: SOP Class UID.
fn data_set(bytes: &[u8]) -> usize {
    let start = [8, 0, 0x16, 0];
    bytes.windows(4).position(|window| window == start).unwrap()
}

/// An element of group 7FE0 with a length of its own choice.
fn element(vr: &[u8; 2], length: u32, value: &[u8]) -> Vec<u8> {
    let head = [0xe0, 0x7f, 0x10, 0, vr[0], vr[1], 0, 0];
    [&head[..], &length.to_le_bytes(), value].concat()
}

fn encapsulated(fragment: &[u8]) -> Vec<u8> {
    let item = |bytes: &[u8]| {
        [
            &[0xfe, 0xff, 0, 0xe0][..],
            &(bytes.len() as u32).to_le_bytes(),
            bytes,
        ]
        .concat()
    };
    element(b"OB", u32::MAX, &[item(b""), item(fragment)].concat())
}

#[test]
fn a_large_image_of_long_runs_is_read() {
    // 4096 x 4096 black pixels are 262 kB: less than a 32nd, which the library takes for an attack.
    let plane = 4096 * 4096;
    let segment = [0x81, 7].repeat(plane / 128);
    let offsets = [2, 64, 64 + segment.len() as u32];
    let mut fragment: Vec<u8> = offsets.iter().flat_map(|n| n.to_le_bytes()).collect();
    fragment.resize(64, 0);
    let fragment = [&fragment, &segment[..], &segment[..]].concat();
    let found = read(&dicom(uids::RLE_LOSSLESS, 4096, &encapsulated(&fragment))).unwrap();
    assert_eq!(found.values.len(), plane);
    let bytes = dicom(
        uids::RLE_LOSSLESS,
        4096,
        &encapsulated(&fragment[..fragment.len() / 2]),
    );
    assert!(read(&bytes).unwrap_err().contains("cut off"));
}

#[test]
fn dicom_that_is_made_to_do_harm_is_refused() {
    let refused = |bytes: &[u8], word: &str| {
        let why = read(bytes).unwrap_err();
        assert!(
            why.contains(word) && !why.contains('\n'),
            "{why:?} does not contain {word:?}"
        );
    };
    // As many RLE segments as a number can say.
    let segments = [0xff; 64];
    refused(
        &dicom(uids::RLE_LOSSLESS, 4, &encapsulated(&segments)),
        "RLE segments",
    );
    // A value of 4 GB, and an item of 4 GB.
    for length in [u32::MAX - 1, 1 << 31] {
        let native = element(b"OW", length, &[0; 8]);
        refused(
            &dicom(uids::EXPLICIT_VR_LITTLE_ENDIAN, 4, &native),
            "fewer pixels",
        );
        let item = [&[0xfe, 0xff, 0, 0xe0][..], &length.to_le_bytes()].concat();
        let item = element(b"OB", u32::MAX, &item);
        refused(&dicom(uids::RLE_LOSSLESS, 4, &item), "cut off");
        let comment = [
            &[0x10, 0, 0, 0x40, b'U', b'T', 0, 0][..],
            &length.to_le_bytes(),
        ]
        .concat();
        let mut bytes = dicom(uids::EXPLICIT_VR_LITTLE_ENDIAN, 4, &native);
        let at = data_set(&bytes);
        bytes.splice(at..at, comment);
        refused(&bytes, "cut off");
    }
    // More than any image in a few kilobytes, as a data set and as a frame.
    let zeros = element(
        b"OW",
        u32::MAX - 1,
        &vec![0; limits::DICOM_INFLATED_BYTES as usize],
    );
    refused(
        &dicom(uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, 4, &zeros),
        "inflates to more",
    );
    let mut frame = DeflateEncoder::new(vec![], Compression::fast());
    frame.write_all(&vec![0; 1 << 20]).unwrap();
    let frame = frame.finish().unwrap();
    refused(
        &dicom(
            uids::DEFLATED_IMAGE_FRAME_COMPRESSION,
            4,
            &encapsulated(&frame),
        ),
        "inflates to more",
    );
    // A JPEG of another size than the header says.
    let jpeg = std::fs::read(golden("pictures").join("turned-1.jpg")).unwrap();
    refused(
        &dicom(uids::JPEG_BASELINE8_BIT, 4, &encapsulated(&jpeg)),
        "24x16",
    );
    // Ends without a beginning: the library panics at the item behind them.
    let item = [0xfe, 0xff, 0, 0xe0, 8, 0, 0, 0];
    for end in [
        [0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0],
        [0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0],
    ] {
        let bytes = [
            dicom(uids::EXPLICIT_VR_LITTLE_ENDIAN, 4, &[]),
            end.to_vec(),
            item.repeat(9),
        ]
        .concat();
        assert!(read(&bytes).is_err());
        let sequence = [8, 0, 0x40, 0x11, b'S', b'Q', 0, 0, 255, 255, 255, 255];
        let mut bytes = dicom(uids::EXPLICIT_VR_LITTLE_ENDIAN, 4, &[]);
        bytes.extend([&sequence[..], &end, &item.repeat(9)].concat());
        assert!(read(&bytes).is_err());
    }
}

#[test]
fn sequences_in_sequences_cost_no_stack() {
    let depth = 100_000;
    let begin = [
        &[8, 0, 0x40, 0x11, b'S', b'Q', 0, 0, 255, 255, 255, 255][..],
        &[0xfe, 0xff, 0, 0xe0, 255, 255, 255, 255],
    ];
    let end = [
        &[0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0][..],
        &[0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0],
    ];
    let pixels = element(
        b"OW",
        32,
        &(0..16u16).flat_map(u16::to_le_bytes).collect::<Vec<_>>(),
    );
    let whole = dicom(uids::EXPLICIT_VR_LITTLE_ENDIAN, 4, &pixels);
    for closed in [true, false] {
        let mut nested = begin.concat().repeat(depth);
        if closed {
            nested.extend(end.concat().repeat(depth));
        }
        let mut bytes = whole.clone();
        let at = data_set(&bytes);
        bytes.splice(at..at, nested);
        let thread = std::thread::Builder::new().stack_size(256 << 10);
        let thread = thread.spawn(move || read(&bytes).map(|found| found.values.len()));
        let found = thread.unwrap().join().unwrap();
        assert_eq!(found.ok(), closed.then_some(16));
    }
}
