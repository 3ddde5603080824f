//! A data set and a run that take seconds.

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma};

pub const RUN: &str = include_str!("../tiny.toml");

/// Six images with a bright disc each, and the table that describes them.
pub fn write(dir: &Path) {
    let mut table =
        "file,dataset,patient,view,sex,age,age_group,findings,other,split\n".to_string();
    for i in 0..6u32 {
        let image = GrayImage::from_fn(16, 16, |x, y| {
            let distance = x.abs_diff(4 + i).pow(2) + y.abs_diff(8).pow(2);
            Luma([if distance < 20 { 220 } else { 20 + 4 * i as u8 }])
        });
        image.save(dir.join(format!("{i}.png"))).unwrap();
        let finding = if i % 2 == 0 { "No Finding" } else { "Effusion" };
        table += &format!("{i}.png,nih_chestxray14,p{i},PA,M,60,adult,{finding},,train\n");
    }
    fs::write(dir.join("metadata.csv"), table).unwrap();
    fs::write(dir.join("bboxes.csv"), "file,label,x,y,w,h\n").unwrap();
}
