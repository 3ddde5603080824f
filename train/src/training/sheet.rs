//! Grey images with captions under them, in a grid, as one PNG: the sample sheets of a run.

use std::path::Path;

use image::{GrayImage, Luma, imageops};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use roentgen_web::error::{Error, Result};
use roentgen_web::files;

/// Pixels around each tile.
const MARGIN: u32 = 6;
/// Narrowest tile: some 27 letters of caption. Smaller images are enlarged by a whole factor.
const MIN_TILE: u32 = 192;
/// Lines of caption at most; the rest is cut.
const MAX_LINES: usize = 5;
const FONT: RasterHeight = RasterHeight::Size16;

/// Grey of the page, and of the letters on it.
const PAPER: u8 = 16;
const INK: u8 = 230;

/// Lays out `images` (each `[height, width]`, 0 is black) row by row in `columns` columns with a
/// caption under each.
///
/// # Panics
/// Where an image does not have `width` x `height` pixels: that is a bug of the caller.
pub fn draw(
    images: &[Vec<u8>],
    captions: &[&str],
    width: usize,
    height: usize,
    columns: usize,
) -> GrayImage {
    let (width, height, columns) = (width as u32, height as u32, columns.max(1));
    let factor = MIN_TILE.div_ceil(width).max(1);
    let (tile_w, tile_h) = (width * factor, height * factor);
    let letters = tile_w as usize / get_raster_width(FontWeight::Regular, FONT);
    let captions: Vec<Vec<String>> = captions.iter().map(|c| wrap(c, letters)).collect();
    let lines = captions.iter().map(Vec::len).max().unwrap_or(0) as u32;
    let line_h = FONT.val() as u32;
    let (step_x, step_y) = (tile_w + MARGIN, tile_h + lines * line_h + MARGIN);
    let rows = images.len().div_ceil(columns) as u32;
    let across = columns.min(images.len()) as u32;
    let mut page = GrayImage::from_pixel(
        across * step_x + MARGIN,
        rows * step_y + MARGIN,
        Luma([PAPER]),
    );
    for (i, pixels) in images.iter().enumerate() {
        let (x, y) = (
            MARGIN + (i % columns) as u32 * step_x,
            MARGIN + (i / columns) as u32 * step_y,
        );
        let image = GrayImage::from_raw(width, height, pixels.clone())
            .expect("an image of width x height pixels");
        let image = imageops::resize(&image, tile_w, tile_h, imageops::FilterType::Triangle);
        imageops::replace(&mut page, &image, x.into(), y.into());
        for (n, line) in captions.get(i).into_iter().flatten().enumerate() {
            write_line(&mut page, line, x, y + tile_h + n as u32 * line_h);
        }
    }
    page
}

/// [`draw`]s a sheet and writes it as PNG.
///
/// # Errors
/// [`Error::Png`] where the file cannot be written.
pub fn save(
    path: &Path,
    images: &[Vec<u8>],
    captions: &[&str],
    width: usize,
    height: usize,
    columns: usize,
) -> Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    }
    let page = draw(images, captions, width, height, columns);
    files::replace_with(path, |file| {
        page.write_to(file, image::ImageFormat::Png)
            .map_err(|e| Error::Png(format!("{}: {e}", path.display())))
    })
}

/// Breaks a caption between words; a word longer than a line is cut.
fn wrap(text: &str, letters: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word: String = word.chars().take(letters).collect();
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= letters => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines.truncate(MAX_LINES);
    lines
}

/// Letters outside the font (ASCII) become question marks.
fn write_line(page: &mut GrayImage, line: &str, mut x: u32, y: u32) {
    for letter in line.chars() {
        let raster = |c| get_raster(c, FontWeight::Regular, FONT);
        let Some(glyph) = raster(letter).or_else(|| raster('?')) else {
            continue;
        };
        for (dy, row) in glyph.raster().iter().enumerate() {
            for (dx, cover) in row.iter().enumerate() {
                if let Some(pixel) = page.get_pixel_mut_checked(x + dx as u32, y + dy as u32) {
                    pixel.0[0] = PAPER + (u16::from(INK - PAPER) * u16::from(*cover) / 255) as u8;
                }
            }
        }
        x += glyph.width() as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_break_between_words() {
        assert_eq!(wrap("PA chest radiograph", 9), ["PA chest", "radiograp"]);
        assert_eq!(wrap(&"word ".repeat(50), 9).len(), MAX_LINES);
        assert!(wrap("", 9).is_empty());
    }

    #[test]
    fn images_and_letters_land_in_their_tiles() {
        let images = vec![vec![255; 64 * 64], vec![0; 64 * 64], vec![128; 64 * 64]];
        let page = draw(&images, &["Normal chest.", "", "é"], 64, 64, 2);
        assert_eq!(page.dimensions(), (2 * 198 + 6, 2 * (192 + 16 + 6) + 6));
        assert_eq!(
            (
                page.get_pixel(100, 100).0,
                page.get_pixel(300, 100).0,
                page.get_pixel(100, 320).0
            ),
            ([255], [0], [128])
        );
        let ink = |x0: u32| {
            (x0..x0 + 192)
                .flat_map(|x| (198..214).map(move |y| (x, y)))
                .filter(|(x, y)| page.get_pixel(*x, *y).0[0] > 150)
                .count()
        };
        assert!(ink(6) > 50 && ink(204) == 0);
    }

    #[test]
    fn a_sheet_is_a_png() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("samples/0001.png");
        save(&path, &[vec![7; 16]], &["x"], 4, 4, 4).expect("writes");
        assert_eq!(image::open(path).expect("reads").width(), 192 + 12);
    }
}
