//! Which schedulers there are, by diffusers' names and by ours.

use std::fmt;
use std::str::FromStr;

use super::config::SchedulerConfig;
use crate::error::{Error, Result};

/// The schedulers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchedulerKind {
    /// `DDIMScheduler`, eta 0.
    Ddim,
    /// `PNDMScheduler`.
    Pndm,
    /// `EulerDiscreteScheduler`.
    Euler,
    /// `EulerAncestralDiscreteScheduler`, which adds noise at every step.
    EulerAncestral,
    /// `DPMSolverMultistepScheduler` with DPM-Solver++ 2M.
    DpmSolverMultistep,
    /// `LCMScheduler`, for models that were distilled to a few steps.
    Lcm,
}

impl SchedulerKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Ddim,
        Self::Pndm,
        Self::Euler,
        Self::EulerAncestral,
        Self::DpmSolverMultistep,
        Self::Lcm,
    ];

    /// diffusers' name of the class, as `_class_name` in `scheduler_config.json` has it.
    pub fn class_name(self) -> &'static str {
        match self {
            Self::Ddim => "DDIMScheduler",
            Self::Pndm => "PNDMScheduler",
            Self::Euler => "EulerDiscreteScheduler",
            Self::EulerAncestral => "EulerAncestralDiscreteScheduler",
            Self::Lcm => "LCMScheduler",
            Self::DpmSolverMultistep => "DPMSolverMultistepScheduler",
        }
    }

    /// The kind that the config names, or its [`Self::stand_in`].
    pub(super) fn named(config: &SchedulerConfig) -> Self {
        let class = config.class_name();
        let named = Self::ALL
            .into_iter()
            .find(|kind| Some(kind.class_name()) == class);
        let stand_in = || Self::stand_in(config).map_or(Self::Ddim, |(_, kind)| kind);
        named.unwrap_or_else(stand_in)
    }

    /// For a config of a class that is not here: its name, and the kind that draws in its place
    /// where nobody chooses. All classes know the same schedules of noise; each stand-in is the
    /// class here that takes steps of the same sort.
    pub fn stand_in(config: &SchedulerConfig) -> Option<(&str, Self)> {
        let class = config.class_name().unwrap_or("(none)");
        if Self::ALL.iter().any(|kind| kind.class_name() == class) {
            return None;
        }
        let kind = match class {
            "HeunDiscreteScheduler" | "LMSDiscreteScheduler" | "KDPM2DiscreteScheduler" => {
                Self::Euler
            }
            "KDPM2AncestralDiscreteScheduler" => Self::EulerAncestral,
            "UniPCMultistepScheduler"
            | "DEISMultistepScheduler"
            | "DPMSolverSinglestepScheduler"
            | "DPMSolverSDEScheduler"
            | "SASolverScheduler" => Self::DpmSolverMultistep,
            _ => Self::Ddim, // DDPM, which is DDIM with noise added at every step
        };
        Some((class, kind))
    }

    /// The word for it on the command line and the page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ddim => "ddim",
            Self::Pndm => "pndm",
            Self::Euler => "euler",
            Self::EulerAncestral => "euler-a",
            Self::Lcm => "lcm",
            Self::DpmSolverMultistep => "dpm++2m",
        }
    }
}

impl fmt::Display for SchedulerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SchedulerKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| {
            Error::request(
                "scheduler",
                format!("`{name}` is not known; use one of {}", names()),
            )
        })
    }
}
