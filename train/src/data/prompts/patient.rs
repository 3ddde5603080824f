//! The image and the patient, in the words of a prompt: view, sex, age.

use rand::RngExt;

use super::composer::{Composer, capital, with_article};
use super::statement::Age;
use crate::data::record::{AgeGroup, Sex, View};

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

    /// The sentence on the image and the patient; `normal` goes before the image's name.
    pub(super) fn head(&mut self, normal: &str) -> String {
        let modality = format!("{normal}{}", self.modality());
        let person = self.person();
        let of = with_article(&person);
        let view = match self.said.view {
            Some(View::Pa) => self.pick(&["PA", "PA", "PA", "posteroanterior"]),
            Some(View::Ap) => self.pick(&["AP", "AP", "AP", "anteroposterior"]),
            None => return format!("{modality} of {of}"),
        };
        match self.rng.random_range(0..10) {
            0..5 if normal.is_empty() => format!("{view} {modality} of {of}"),
            0..5 => format!("{modality} of {of}, {view} view"),
            5 => format!("{modality}, {view} view. {}", capital(&person)),
            6 => format!("{view} {modality}, {person}"),
            7 => format!("{}. {} {modality}", capital(&person), capital(view)),
            8 => format!("{modality}, {person}, {view} projection"),
            _ => format!("{modality} of {of} in {view} view"),
        }
    }

    /// `60-year-old man`, `young child`, or `patient` where nothing is known or told; without
    /// article.
    fn person(&mut self) -> String {
        let noun = match (self.said.sex, self.said.age_group) {
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
        };
        match self.said.age {
            Some(Age::Years(age)) => match self.rng.random_range(0..10) {
                0 => format!("{noun} aged {age}"),
                1 => format!("{noun}, {age} years old"),
                _ => format!("{age}-year-old {noun}"),
            },
            Some(Age::Word(word)) => format!("{word} {noun}"),
            None => noun.into(),
        }
    }
}
