//! A radiologist's boxes -> side, zone and size in the words of a report.

use serde::{Deserialize, Serialize};

use crate::data::findings::{Finding, Labels};

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

impl BoundingBox {
    /// A box of `finding` from its left and upper edge, width and height, all in fractions of the
    /// image.
    ///
    /// # Errors
    /// A sentence if it lies outside the image by more than the pixel that published boxes do.
    pub fn new(finding: Finding, [x, y, w, h]: [f32; 4]) -> Result<Self, String> {
        let inside =
            |from: f32, length: f32| from >= -0.01 && length > 0.0 && from + length <= 1.01;
        if inside(x, w) && inside(y, h) {
            Ok(Self {
                finding,
                x,
                y,
                w,
                h,
            })
        } else {
            Err("has a box outside its image".into())
        }
    }
}

/// A side of the patient, whose right is at the image's left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Side {
    Left,
    Right,
    Bilateral,
}

impl Side {
    /// Every side.
    pub const ALL: [Side; 3] = [Side::Left, Side::Right, Side::Bilateral];

    /// `left`, `right` or `bilateral`.
    pub fn word(self) -> &'static str {
        match self {
            Side::Left => "left",
            Side::Right => "right",
            Side::Bilateral => "bilateral",
        }
    }

    /// The side in the mirror image.
    pub fn mirror(self) -> Self {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
            Side::Bilateral => Side::Bilateral,
        }
    }
}

/// A third of the lungs' height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Zone {
    Upper,
    Mid,
    Lower,
}

impl Zone {
    /// `upper`, `mid` or `lower`.
    pub fn word(self) -> &'static str {
        match self {
            Zone::Upper => "upper",
            Zone::Mid => "mid",
            Zone::Lower => "lower",
        }
    }
}

/// Where and how large a finding is; `None` and empty where the boxes do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// Side of the patient.
    pub side: Option<Side>,
    /// Third of the lungs.
    pub zone: Option<Zone>,
    /// `small`, `moderate`, `large`, `mild`, `marked` or nothing.
    pub size: &'static str,
    /// More than one box.
    pub several: bool,
}

/// Half the width of the strip around the midline in which a box has no side.
const MIDLINE: f32 = 0.05;

impl Location {
    /// What the boxes, drawn for `labels`, say of one finding; nothing where none marks it.
    pub fn of(finding: Finding, boxes: &[BoundingBox], labels: Labels) -> Location {
        let of_it: Vec<&BoundingBox> = boxes.iter().filter(|b| b.finding == finding).collect();
        let Some(first) = of_it.first() else {
            return Location::default();
        };
        let side = of_it
            .iter()
            .skip(1)
            .fold(side(first), |so_far, b| match (so_far?, side(b)?) {
                (a, b) if a == b => Some(a),
                _ => Some(Side::Bilateral),
            });
        let zones = of_it.iter().map(|b| zone(b));
        Location {
            side,
            zone: zones.reduce(|a, b| if a == b { a } else { None }).flatten(),
            size: size(finding, &of_it, side, labels),
            several: of_it.len() > 1,
        }
    }
}

/// The patient's right is at the image's left.
fn side(b: &BoundingBox) -> Option<Side> {
    use Finding::*;
    let centre = b.x + b.w / 2.0;
    let (left, right) = (b.x, b.x + b.w);
    if matches!(b.finding, Cardiomegaly | Emphysema) {
        None // the heart lies in the middle, and no emphysema is on one side alone
    } else if left < 0.38 && right > 0.62 {
        // A box that reaches into both lungs marks a shadow in both, if it is of a kind that can be
        // in both.
        match b.finding {
            Atelectasis | Consolidation | Edema | Effusion | Infiltration | Pneumonia => {
                Some(Side::Bilateral)
            }
            _ => None,
        }
    } else if centre < 0.5 - MIDLINE {
        Some(Side::Right)
    } else if centre > 0.5 + MIDLINE {
        Some(Side::Left)
    } else {
        None
    }
}

/// Thirds of the lungs, which in these images reach from about 0.12 to 0.75 of the height. Only for
/// shadows in the lung itself, and not for those that fill more than one zone.
fn zone(b: &BoundingBox) -> Option<Zone> {
    use Finding::*;
    if !matches!(
        b.finding,
        Atelectasis | Consolidation | Fibrosis | Infiltration | Mass | Nodule | Pneumonia
    ) || b.h > 0.35
    {
        return None;
    }
    Some(match b.y + b.h / 2.0 {
        c if c < 0.34 => Zone::Upper,
        c if c < 0.52 => Zone::Mid,
        _ => Zone::Lower,
    })
}

/// Size by the share of the image that the boxes of one side cover. The limits are near the
/// quartiles of the 899 boxes of NIH ChestX-ray14 that the data set holds. ChestX-Det draws the
/// heart closer: its quartiles of the width are 0.38 and 0.45, NIH's 0.43 and 0.50.
fn size(
    finding: Finding,
    boxes: &[&BoundingBox],
    side: Option<Side>,
    labels: Labels,
) -> &'static str {
    let sides = if side == Some(Side::Bilateral) {
        2.0
    } else {
        1.0
    };
    let area: f32 = boxes.iter().map(|b| b.w * b.h).sum::<f32>() / sides;
    let widest = boxes.iter().map(|b| b.w).fold(0.0, f32::max);
    let [mild, marked] = match labels {
        Labels::Reports => [0.43, 0.5],
        Labels::Radiologists => [0.38, 0.45],
    };
    match finding {
        Finding::Effusion if area >= 0.09 => "large",
        Finding::Effusion if area >= 0.03 => "moderate",
        Finding::Effusion => "small",
        Finding::Pneumothorax if area >= 0.065 => "large",
        Finding::Pneumothorax if area < 0.02 => "small",
        Finding::Mass if area >= 0.04 => "large",
        Finding::Nodule if area < 0.004 && boxes.len() == 1 => "small",
        Finding::Cardiomegaly if widest >= marked => "marked",
        Finding::Cardiomegaly if widest < mild => "mild",
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
            Labels::Reports,
        );
        assert_eq!(
            (found.side, found.size, found.zone),
            (Some(Side::Right), "large", None)
        );
        let found = Location::of(
            Finding::Nodule,
            &[at(Finding::Nodule, 0.7, 0.2, 0.05, 0.05)],
            Labels::Reports,
        );
        assert_eq!(
            (found.side, found.size, found.zone),
            (Some(Side::Left), "small", Some(Zone::Upper))
        );
    }

    #[test]
    fn two_sides_are_bilateral_and_the_midline_is_none() {
        let boxes = [
            at(Finding::Pneumonia, 0.1, 0.5, 0.2, 0.2),
            at(Finding::Pneumonia, 0.7, 0.5, 0.2, 0.2),
        ];
        let found = Location::of(Finding::Pneumonia, &boxes, Labels::Reports);
        assert_eq!(
            (found.side, found.zone, found.several),
            (Some(Side::Bilateral), Some(Zone::Lower), true)
        );
        let found = Location::of(
            Finding::Mass,
            &[at(Finding::Mass, 0.45, 0.4, 0.1, 0.1)],
            Labels::Reports,
        );
        assert_eq!((found.side, found.zone), (None, Some(Zone::Mid)));
    }

    #[test]
    fn one_box_over_both_lungs_is_bilateral() {
        let found = Location::of(
            Finding::Infiltration,
            &[at(Finding::Infiltration, 0.15, 0.4, 0.7, 0.3)],
            Labels::Reports,
        );
        assert_eq!(
            (found.side, found.zone),
            (Some(Side::Bilateral), Some(Zone::Lower))
        );
    }

    #[test]
    fn boxes_of_other_findings_say_nothing() {
        let boxes = [at(Finding::Mass, 0.1, 0.4, 0.1, 0.1)];
        assert_eq!(
            Location::of(Finding::Effusion, &boxes, Labels::Reports),
            Location::default()
        );
    }

    #[test]
    fn heart_and_emphysema_have_no_side() {
        let boxes = [at(Finding::Emphysema, 0.55, 0.1, 0.3, 0.6)];
        let found = Location::of(Finding::Emphysema, &boxes, Labels::Radiologists);
        assert_eq!(found.side, None);
        let boxes = [at(Finding::Cardiomegaly, 0.3, 0.4, 0.52, 0.4)];
        let found = Location::of(Finding::Cardiomegaly, &boxes, Labels::Reports);
        assert_eq!((found.side, found.size), (None, "marked"));
    }

    #[test]
    fn hearts_are_measured_against_those_of_the_same_source() {
        let boxes = [at(Finding::Cardiomegaly, 0.3, 0.4, 0.46, 0.3)];
        let size = |labels| Location::of(Finding::Cardiomegaly, &boxes, labels).size;
        assert_eq!(
            (size(Labels::Reports), size(Labels::Radiologists)),
            ("", "marked")
        );
    }

    #[test]
    fn two_effusions_are_measured_a_side_at_a_time() {
        let both = [
            at(Finding::Effusion, 0.1, 0.5, 0.25, 0.2),
            at(Finding::Effusion, 0.65, 0.5, 0.25, 0.2),
        ];
        let size = |boxes| Location::of(Finding::Effusion, boxes, Labels::Reports).size;
        assert_eq!(
            (size(&both[..1]), size(&both[..])),
            ("moderate", "moderate")
        );
    }
}
