//! Whether a finding is on the side that the prompt says: images of one seed, the prompt once with
//! left and once with right.

use crate::data::dataset::Dataset;
use crate::data::findings::Finding;
use crate::data::location::Side;
use crate::data::sides::asymmetry;

/// Least difference between both images in grey levels that can be seen without looking for it.
pub const VISIBLE: f32 = 20.0;

/// A finding that whitens or darkens the side it is on, and the words that ask for it.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Name in the report.
    pub name: &'static str,
    /// What is asked for.
    finding: Finding,
    /// How large, as [`crate::data::location`] has it; any size where it is empty.
    size: &'static str,
    /// `{}` is the side.
    prompt: &'static str,
    /// Whether the side with the finding is the whiter one.
    pub whitens: bool,
}

/// What is asked, each as plainly as a prompt can.
pub const QUESTIONS: [Question; 3] = [
    Question {
        name: "Effusion",
        finding: Finding::Effusion,
        size: "large",
        prompt: "PA chest radiograph of a 60-year-old man. Large {} pleural effusion.",
        whitens: true,
    },
    Question {
        name: "Consolidation",
        finding: Finding::Consolidation,
        size: "",
        prompt: "PA chest radiograph of a 60-year-old man. {} consolidation.",
        whitens: true,
    },
    Question {
        name: "Pneumothorax",
        finding: Finding::Pneumothorax,
        size: "large",
        prompt: "PA chest radiograph of a 60-year-old man. Large {} pneumothorax.",
        whitens: false,
    },
];

impl Question {
    /// The prompts with left and right.
    pub fn prompts(&self) -> [String; 2] {
        let word = |side: &str| {
            if self.prompt.contains(". {}") {
                format!("{}{}", side[..1].to_uppercase(), &side[1..])
            } else {
                side.to_string()
            }
        };
        ["left", "right"].map(|side| self.prompt.replace("{}", &word(side)))
    }

    /// What real images show: the mean [`asymmetry`] of those with boxes of the finding on the left
    /// alone less that of those on the right, in grey levels, the asked way; and how many there are.
    /// `None` where a side has none.
    pub fn real(&self, data: &Dataset) -> Option<(f64, [usize; 2])> {
        let of = |side: Side| {
            let here = |i: &usize| {
                let location = data.records[*i].location(self.finding);
                location.side == Some(side) && [location.size, ""].contains(&self.size)
            };
            let found = (0..data.len()).filter(here);
            let found = found.map(|i| f64::from(asymmetry(data.image(i), data.side(i))));
            let found: Vec<f64> = found.collect();
            let mean = found.iter().sum::<f64>() / found.len() as f64;
            (!found.is_empty()).then_some((mean, found.len()))
        };
        let ((left, lefts), (right, rights)) = (of(Side::Left)?, of(Side::Right)?);
        let sign = if self.whitens { 1.0 } else { -1.0 };
        Some((sign * (left - right), [lefts, rights]))
    }
}

/// How often a model puts a finding where it was asked to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Obedience {
    /// Share of the seeds whose two images differ in [`asymmetry`] by more than [`VISIBLE`] grey
    /// levels, the asked way.
    pub visible: f64,
    /// Share of the seeds whose two images lie on either side of what is normal, the asked way.
    pub opposite: f64,
    /// Mean difference in grey levels, the asked way.
    pub difference: f64,
}

/// Judges pairs of `(left, right)` images of `size` x `size` pixels; `normal` is the [`asymmetry`]
/// of normal images.
///
/// # Panics
/// Without pairs.
pub fn judge(pairs: &[[Vec<u8>; 2]], size: usize, whitens: bool, normal: f32) -> Obedience {
    assert!(!pairs.is_empty(), "pairs");
    let sign = if whitens { 1.0 } else { -1.0 };
    let asked = |image: &Vec<u8>| sign * (asymmetry(image, size) - normal);
    let found: Vec<[f32; 2]> = pairs
        .iter()
        .map(|pair| [asked(&pair[0]), asked(&pair[1])])
        .collect();
    let share = |is: &dyn Fn(&[f32; 2]) -> bool| {
        found.iter().filter(|pair| is(pair)).count() as f64 / found.len() as f64
    };
    let differences = found.iter().map(|[left, right]| f64::from(left - right));
    Obedience {
        visible: share(&|[left, right]| left - right > VISIBLE),
        opposite: share(&|[left, right]| *left > 0.0 && *right < 0.0),
        difference: differences.sum::<f64>() / found.len() as f64,
    }
}
