//! Image -> PNG whose text chunks say that it is synthetic and what gave it; and PNG in 16 bits ->
//! image.

use std::io::Cursor;

use crate::device::Backend;
use crate::image::{Image, contrast};
use crate::{Error, Result, limits, origin::texts, pipeline::Request};

/// A PNG of 16 bits in 8, grey or RGB, by those that are used ([`contrast::by_bits_used`]): what a
/// browser makes of one with 12 bits in it is black. Opacity is left out.
///
/// # Errors
/// The end of a sentence on the file.
pub fn decode_wide(bytes: &[u8]) -> Result<Image, String> {
    let fault = |e: png::DecodingError| e.to_string();
    let most = png::Limits {
        bytes: limits::PICTURE_BYTES as usize,
    };
    let decoder = png::Decoder::new_with_limits(Cursor::new(bytes), most);
    let mut reader = decoder.read_info().map_err(fault)?;
    let (width, height) = reader.info().size();
    let (color, depth) = reader.output_color_type();
    let pixels = u64::from(width) * u64::from(height);
    if !(1..=limits::PICTURE_PIXELS).contains(&pixels) {
        let most = limits::PICTURE_PIXELS;
        return Err(format!(
            "is {width}x{height} pixels large, and at most {most} are read"
        ));
    }
    if depth != png::BitDepth::Sixteen {
        return Err("is no PNG of 16 bits".into());
    }
    let size = reader.output_buffer_size().ok_or("is too large")?;
    let mut samples = vec![0; size];
    reader.next_frame(&mut samples).map_err(fault)?;
    let stored = color.samples();
    let channels = if stored < 3 { 1 } else { 3 };
    let opaque = samples
        .chunks_exact(2 * stored)
        .flat_map(|pixel| pixel[..2 * channels].chunks_exact(2));
    let values: Vec<u16> = opaque
        .map(|two| u16::from_be_bytes([two[0], two[1]]))
        .collect();
    Ok(Image {
        width: width as usize,
        height: height as usize,
        channels,
        data: contrast::by_bits_used(&values),
    })
}

/// Encodes the image with its origin ([`texts`]) as UTF-8 text chunks (iTXt).
///
/// `image` has 1 (grey), 3 (RGB) or 4 (RGBA) channels; a colour image without colours is stored as
/// grey.
///
/// # Errors
/// [`Error::Png`] if the sizes and the pixels do not belong together.
pub fn encode(
    image: &Image,
    request: &Request,
    model: &str,
    engine: Option<Backend>,
) -> Result<Vec<u8>> {
    let fault = |e: png::EncodingError| Error::Png(e.to_string());
    let size = |pixels: usize| {
        u32::try_from(pixels).map_err(|_| Error::Png(format!("{pixels} pixels are too many")))
    };
    let (width, height) = (size(image.width)?, size(image.height)?);
    if image.data.len() != image.width * image.height * image.channels {
        let (found, channels) = (image.data.len(), image.channels);
        return Err(Error::Png(format!(
            "{found} bytes are not {width}x{height} pixels of {channels} channels"
        )));
    }
    let (color, data) = match image.channels {
        1 => (png::ColorType::Grayscale, image.data.clone()),
        n @ (3 | 4) => match grey(&image.data, n) {
            Some(grey) => (png::ColorType::Grayscale, grey),
            None if n == 3 => (png::ColorType::Rgb, image.data.clone()),
            None => (png::ColorType::Rgba, image.data.clone()),
        },
        n => {
            return Err(Error::Png(format!(
                "{n} channels are neither grey, RGB nor RGBA"
            )));
        }
    };

    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    for (keyword, text) in texts(request, model, engine) {
        // The text of a chunk ends at a zero byte.
        encoder
            .add_itxt_chunk(keyword.into(), text.replace('\0', " "))
            .map_err(fault)?;
    }
    let mut writer = encoder.write_header().map_err(fault)?;
    writer.write_image_data(&data).map_err(fault)?;
    writer.finish().map_err(fault)?;
    Ok(bytes)
}

/// The grey values, if all pixels are opaque and without colour.
fn grey(data: &[u8], channels: usize) -> Option<Vec<u8>> {
    data.chunks_exact(channels)
        .map(|p| {
            (p[0] == p[1] && p[1] == p[2] && p.get(3).is_none_or(|&a| a == 255)).then_some(p[0])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latents::scheduler::SchedulerKind;
    use crate::origin::EDITED;

    fn request() -> Request {
        Request {
            prompt: "PA chest radiograph. Erguß links.\0".into(),
            negative_prompt: String::new(),
            seed: u64::MAX,
            num_inference_steps: 20,
            guidance_scale: 3.5,
            scheduler: Some(SchedulerKind::DpmSolverMultistep),
            width: 3,
            height: 2,
            latents: None,
            source: None,
            words: false,
            selected_from: 1,
        }
    }

    fn decode(bytes: &[u8]) -> (png::ColorType, Vec<u8>, Vec<(String, String)>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
            .read_info()
            .expect("a PNG");
        let mut data = vec![0; reader.output_buffer_size().expect("small")];
        let info = reader.next_frame(&mut data).expect("pixels");
        let text =
            |t: &png::text_metadata::ITXtChunk| (t.keyword.clone(), t.get_text().expect("text"));
        (
            info.color_type,
            data,
            reader.info().utf8_text.iter().map(text).collect(),
        )
    }

    #[test]
    fn pixels_and_origin_are_in_the_file() {
        let image = Image {
            width: 3,
            height: 2,
            channels: 1,
            data: vec![0, 50, 100, 150, 200, 255],
        };
        let (color, data, texts) =
            decode(&encode(&image, &request(), "A model", Some(Backend::Cpu)).unwrap());
        assert_eq!((color, data), (png::ColorType::Grayscale, image.data));
        let text = |keyword: &str| texts.iter().find(|t| t.0 == keyword).map(|t| t.1.as_str());
        assert!(
            text("Synthetic")
                .is_some_and(|t| t.starts_with("yes") && t.contains("not for diagnosis"))
        );
        assert_eq!(text("Prompt"), Some("PA chest radiograph. Erguß links. "));
        assert_eq!(text("Negative prompt"), Some(""));
        assert_eq!(text("Seed"), Some("18446744073709551615"));
        assert_eq!(text("Steps"), Some("20"));
        assert_eq!(text("Guidance scale"), Some("3.5"));
        assert_eq!(text("Scheduler"), Some("dpm++2m"));
        assert_eq!(text("Model"), Some("A model"));
        assert_eq!(text("Size"), Some("3x2"));
    }

    #[test]
    fn what_began_from_a_picture_does_not_say_that_it_shows_no_person() {
        let image = Image {
            width: 3,
            height: 2,
            channels: 1,
            data: vec![0; 6],
        };
        let request = Request {
            source: Some(crate::latents::img2img::Img2Img {
                image: image.clone(),
                mask: None,
                strength: 0.5,
            }),
            ..request()
        };
        let (_, _, texts) = decode(&encode(&image, &request, "m", None).unwrap());
        assert!(texts.contains(&("Synthetic".into(), EDITED.into())));
        assert!(texts.contains(&("Strength".into(), "0.5".into())));
    }

    #[test]
    fn colours_are_kept_and_their_absence_is_used() {
        let image = |channels, data: &[u8]| Image {
            width: 1,
            height: 1,
            channels,
            data: data.to_vec(),
        };
        for (channels, data, color, stored) in [
            (3, &[9, 9, 9][..], png::ColorType::Grayscale, &[9][..]),
            (4, &[9, 9, 9, 255], png::ColorType::Grayscale, &[9]),
            (3, &[9, 8, 9], png::ColorType::Rgb, &[9, 8, 9]),
            (4, &[9, 9, 9, 0], png::ColorType::Rgba, &[9, 9, 9, 0]),
        ] {
            let (found, pixels, _) =
                decode(&encode(&image(channels, data), &request(), "m", None).unwrap());
            assert_eq!((found, &pixels[..]), (color, stored));
        }
        for bad in [image(2, &[0, 0]), image(1, &[]), image(1, &[0, 0])] {
            assert_eq!(
                encode(&bad, &request(), "m", None).unwrap_err().code(),
                "png"
            );
        }
    }
}
