//! A radiologist's boxes -> side, zone and size in the words of a report.

use serde::{Deserialize, Serialize};

use crate::data::findings::Finding;

/// A box in fractions of the image's width and height, origin at the top left of the image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoundingBox {
    /// What it marks.
    pub finding: Finding,
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
}

/// Where and how large, each empty where the boxes do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// `left`, `right` or `bilateral`, of the patient.
    pub side: &'static str,
    /// `upper`, `mid` or `lower`.
    pub zone: &'static str,
    /// `small`, `moderate`, `large`, `mild` or `marked`.
    pub size: &'static str,
    /// More than one box.
    pub several: bool,
}

/// Half the width of the strip around the midline in which a box has no side.
const MIDLINE: f32 = 0.05;

impl Location {
    /// What the boxes say of one finding; all empty where none marks it.
    pub fn of(finding: Finding, boxes: &[BoundingBox]) -> Location {
        let of_it: Vec<&BoundingBox> = boxes.iter().filter(|b| b.finding == finding).collect();
        if of_it.is_empty() {
            return Location::default();
        }
        Location {
            side: agreed(of_it.iter().map(|b| side(b))),
            zone: match agreed(of_it.iter().map(|b| zone(b))) {
                "bilateral" => "",
                zone => zone,
            },
            size: size(finding, &of_it),
            several: of_it.len() > 1,
        }
    }
}

/// The word all boxes share; `bilateral` for two sides; nothing where they differ or one is silent.
fn agreed(mut words: impl Iterator<Item = &'static str>) -> &'static str {
    let first = words.next().unwrap_or("");
    words.fold(first, |so_far, word| match (so_far, word) {
        (a, b) if a == b => a,
        ("left" | "right" | "bilateral", "left" | "right") => "bilateral",
        _ => "",
    })
}

/// The patient's right is at the image's left.
fn side(b: &BoundingBox) -> &'static str {
    use Finding::*;
    let centre = b.x + b.w / 2.0;
    let (left, right) = (b.x, b.x + b.w);
    if b.finding == Cardiomegaly {
        "" // the heart lies in the middle
    } else if left < 0.38 && right > 0.62 {
        // A box that reaches into both lungs marks a shadow in both, if it is of a kind that can be in both.
        match b.finding {
            Atelectasis | Consolidation | Edema | Effusion | Infiltration | Pneumonia => {
                "bilateral"
            }
            _ => "",
        }
    } else if centre < 0.5 - MIDLINE {
        "right"
    } else if centre > 0.5 + MIDLINE {
        "left"
    } else {
        ""
    }
}

/// Thirds of the lungs, which in these images reach from about 0.12 to 0.75 of the height. Only for shadows in the
/// lung itself, and not for those that fill more than one zone.
fn zone(b: &BoundingBox) -> &'static str {
    use Finding::*;
    if !matches!(
        b.finding,
        Atelectasis | Infiltration | Mass | Nodule | Pneumonia
    ) || b.h > 0.35
    {
        return "";
    }
    match b.y + b.h / 2.0 {
        c if c < 0.34 => "upper",
        c if c < 0.52 => "mid",
        _ => "lower",
    }
}

/// Size by the share of the image that the boxes cover. The limits are near the quartiles of the 899 boxes of NIH
/// ChestX-ray14 that the data set holds.
fn size(finding: Finding, boxes: &[&BoundingBox]) -> &'static str {
    let area: f32 = boxes.iter().map(|b| b.w * b.h).sum();
    let widest = boxes.iter().map(|b| b.w).fold(0.0, f32::max);
    match finding {
        Finding::Effusion if area >= 0.09 => "large",
        Finding::Effusion if area >= 0.03 => "moderate",
        Finding::Effusion => "small",
        Finding::Pneumothorax if area >= 0.065 => "large",
        Finding::Pneumothorax if area < 0.02 => "small",
        Finding::Mass if area >= 0.04 => "large",
        Finding::Nodule if area < 0.004 && boxes.len() == 1 => "small",
        Finding::Cardiomegaly if widest >= 0.5 => "marked",
        Finding::Cardiomegaly if widest < 0.43 => "mild",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(finding: Finding, x: f32, y: f32, w: f32, h: f32) -> BoundingBox {
        BoundingBox {
            finding,
            x,
            y,
            w,
            h,
        }
    }

    #[test]
    fn the_image_s_left_is_the_patient_s_right() {
        let found = Location::of(
            Finding::Effusion,
            &[at(Finding::Effusion, 0.1, 0.4, 0.3, 0.4)],
        );
        assert_eq!((found.side, found.size, found.zone), ("right", "large", ""));
        let found = Location::of(
            Finding::Nodule,
            &[at(Finding::Nodule, 0.7, 0.2, 0.05, 0.05)],
        );
        assert_eq!(
            (found.side, found.size, found.zone),
            ("left", "small", "upper")
        );
    }

    #[test]
    fn two_sides_are_bilateral_and_the_midline_is_none() {
        let boxes = [
            at(Finding::Pneumonia, 0.1, 0.5, 0.2, 0.2),
            at(Finding::Pneumonia, 0.7, 0.5, 0.2, 0.2),
        ];
        let found = Location::of(Finding::Pneumonia, &boxes);
        assert_eq!(
            (found.side, found.zone, found.several),
            ("bilateral", "lower", true)
        );
        let found = Location::of(Finding::Mass, &[at(Finding::Mass, 0.45, 0.4, 0.1, 0.1)]);
        assert_eq!((found.side, found.zone), ("", "mid"));
    }

    #[test]
    fn one_box_over_both_lungs_is_bilateral() {
        let found = Location::of(
            Finding::Infiltration,
            &[at(Finding::Infiltration, 0.15, 0.4, 0.7, 0.3)],
        );
        assert_eq!((found.side, found.zone), ("bilateral", "lower"));
    }

    #[test]
    fn boxes_of_other_findings_say_nothing() {
        let boxes = [at(Finding::Mass, 0.1, 0.4, 0.1, 0.1)];
        assert_eq!(Location::of(Finding::Effusion, &boxes), Location::default());
    }

    #[test]
    fn the_heart_has_no_side() {
        let boxes = [at(Finding::Cardiomegaly, 0.3, 0.4, 0.52, 0.4)];
        let found = Location::of(Finding::Cardiomegaly, &boxes);
        assert_eq!((found.side, found.size), ("", "marked"));
    }
}
