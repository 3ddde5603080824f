//! The image and the patient, in the words of a prompt: view, sex, age.

use rand::RngExt;

use super::{Composer, OMIT, capital, with_article};
use crate::data::dataset::{AgeGroup, Sex, View};

impl Composer<'_> {
    /// What such an image is called.
    pub(super) fn modality(&mut self) -> &'static str {
        self.pick(&[
            "chest radiograph",
            "chest radiograph",
            "chest X-ray",
            "chest X-ray",
            "chest film",
        ])
    }

    /// The direction of the beam.
    pub(super) fn view(&mut self) -> &'static str {
        match self.record.view {
            View::Pa => self.pick(&["PA", "PA", "PA", "posteroanterior"]),
            View::Ap => self.pick(&["AP", "AP", "AP", "anteroposterior"]),
        }
    }

    /// The sentence on the image and the patient; `normal` goes before the image's name.
    pub(super) fn head(&mut self, person: &str, normal: &str) -> String {
        let modality = self.modality();
        let modality = format!("{normal}{modality}");
        if self.chance(OMIT) {
            return format!("{modality} of {}", with_article(person));
        }
        let view = self.view();
        let of = with_article(person);
        match self.rng.random_range(0..10) {
            0..5 => match normal {
                "" => format!("{view} {modality} of {of}"),
                _ => format!("{modality} of {of}, {view} view"),
            },
            5 => format!("{modality}, {view} view. {}", capital(person)),
            6 => format!("{view} {modality}, {person}"),
            7 => format!("{}. {} {modality}", capital(person), capital(view)),
            8 => format!("{modality}, {person}, {view} projection"),
            _ => format!("{modality} of {of} in {view} view"),
        }
    }

    /// `man`, `girl`, `child`, `female patient`, or `patient` where nothing is known or told.
    pub(super) fn noun_of_person(&mut self, tell_sex: bool) -> String {
        let sex = self.record.sex.filter(|_| tell_sex);
        match (sex, self.record.age_group) {
            (Some(Sex::Male), Some(AgeGroup::Adult)) => "man",
            (Some(Sex::Female), Some(AgeGroup::Adult)) => "woman",
            (Some(Sex::Male), Some(AgeGroup::Child)) => "boy",
            (Some(Sex::Female), Some(AgeGroup::Child)) => "girl",
            // Whoever's age is unknown is called neither man nor boy.
            (Some(Sex::Male), None) => "male patient",
            (Some(Sex::Female), None) => "female patient",
            (None, Some(AgeGroup::Adult)) => "adult",
            (None, Some(AgeGroup::Child)) => "child",
            (None, None) => "patient",
        }
        .into()
    }

    /// `60-year-old man`, without article.
    pub(super) fn person(&mut self) -> String {
        let tell_sex = !self.chance(OMIT);
        let noun = self.noun_of_person(tell_sex);
        let tell_age = !self.chance(OMIT);
        match self.record.age {
            Some(age) if tell_age => match self.rng.random_range(0..10) {
                0 => format!("{noun} aged {age}"),
                1 => format!("{noun}, {age} years old"),
                _ => format!("{age}-year-old {noun}"),
            },
            Some(0..=5) => format!("young {noun}"),
            Some(18..=34) => format!("young {noun}"),
            Some(40..=59) => format!("middle-aged {noun}"),
            Some(70..) => format!("elderly {noun}"),
            // The children of Kermany et al. are one to five years old.
            None if self.record.dataset == "kermany2018" => match self.rng.random_range(0..3) {
                0 => noun,
                1 => format!("small {noun}"),
                _ => format!("young {noun}"),
            },
            _ => noun,
        }
    }
}
