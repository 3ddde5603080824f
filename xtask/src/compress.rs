//! Compressed copies beside the files of a site, for hosts that send them as they are; and how much
//! visitors load.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::Result;
use brotli::CompressorReader;
use flate2::Compression;
use flate2::write::GzEncoder;

/// What compresses; weights and pictures do not.
const ENDINGS: [&str; 9] = [
    "css",
    "html",
    "js",
    "json",
    "md",
    "svg",
    "ts",
    "wasm",
    "webmanifest",
];

/// Brotli's best quality takes half a minute for an engine; the next but one takes a second, and 3
/// % more bytes.
const QUALITY: u32 = 9;
const WINDOW: u32 = 22;

/// Writes a `.br` and a `.gz` beside each file that compresses.
///
/// # Errors
/// If a file cannot be read or written.
pub fn beside(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            beside(&path)?;
        } else if path
            .extension()
            .is_some_and(|end| ENDINGS.iter().any(|known| end == *known))
        {
            let bytes = fs::read(&path)?;
            for (ending, less) in [("br", brotli(&bytes)?), ("gz", gzip(&bytes)?)] {
                if less.len() < bytes.len() {
                    let mut name = path.clone().into_os_string();
                    name.push(format!(".{ending}"));
                    fs::write(name, less)?;
                }
            }
        }
    }
    Ok(())
}

fn brotli(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut less = vec![];
    CompressorReader::new(bytes, 1 << 16, QUALITY, WINDOW).read_to_end(&mut less)?;
    Ok(less)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(vec![], Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// Bytes of the files in a folder as a host with brotli sends them, those below `without` left out.
///
/// # Errors
/// If the folder cannot be read.
pub fn sent(folder: &Path, without: &[&Path]) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension().unwrap_or_default();
        if without.contains(&&*path) || ending == "br" || ending == "gz" {
            continue;
        }
        let mut less = path.clone().into_os_string();
        less.push(".br");
        sum += if path.is_dir() {
            sent(&path, without)?
        } else {
            fs::metadata(&less).or_else(|_| fs::metadata(&path))?.len()
        };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;

    #[test]
    fn copies_are_smaller_and_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let text = "a radiograph of the chest, ".repeat(100);
        fs::create_dir(path("deep")).unwrap();
        fs::write(path("deep/page.js"), &text).unwrap();
        fs::write(path("tiny.js"), "1").unwrap();
        fs::write(path("weights.safetensors"), &text).unwrap();
        beside(folder.path()).unwrap();
        let read = |name: &str| fs::read(path(name)).unwrap();
        let mut found = String::new();
        GzDecoder::new(&read("deep/page.js.gz")[..])
            .read_to_string(&mut found)
            .unwrap();
        assert_eq!(found, text);
        found.clear();
        brotli::Decompressor::new(&read("deep/page.js.br")[..], 4096)
            .read_to_string(&mut found)
            .unwrap();
        assert_eq!(found, text);
        assert!(!path("tiny.js.br").exists() && !path("weights.safetensors.br").exists());
        let all = 1 + (text.len() + read("deep/page.js.br").len()) as u64;
        assert_eq!(sent(folder.path(), &[]).unwrap(), all);
        assert_eq!(
            sent(folder.path(), &[&path("deep")]).unwrap(),
            all - read("deep/page.js.br").len() as u64
        );
    }
}
