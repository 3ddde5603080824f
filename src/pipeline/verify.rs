//! Images drawn until the model's reader sees on one what was asked for.

use super::{Generated, Pipeline, Request, Step};
use crate::error::{Error, Result};
use crate::reader::{LEAST_AUROC, asked, is_finding};

/// What came of several seeds.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The request with the seed that was kept, and how many images it is one of.
    pub request: Request,
    /// Its image: the first that the reader agrees with, else the one that it comes closest to.
    pub generated: Generated,
    /// Whether it does.
    pub agrees: bool,
}

impl Pipeline {
    /// Draws at most `tries` images, each with the seed after that of the one before, until the
    /// reader agrees.
    ///
    /// # Errors
    /// [`Error::Request`] if `tries` is 0, latents are given, the model has no reader, or its
    /// reader can tell nothing of what is asked; as [`Self::generate`].
    pub async fn generate_verified(
        &self,
        request: &Request,
        tries: usize,
        mut on_step: impl AsyncFnMut(Step<'_>) -> Result<()>,
    ) -> Result<Verified> {
        self.check_verifiable(request, tries)?;
        let mut best: Option<(f32, Request, Generated)> = None;
        let mut drawn = 0;
        let seeds = (0..tries as u64).map_while(|i| request.seed.checked_add(i));
        for seed in seeds {
            let request = Request {
                seed,
                ..request.clone()
            };
            let generated = self.generate(&request, &mut on_step).await?.check()?;
            drawn += 1;
            let reading = self.read(&generated.to_image()).await?;
            let agreement = reading.and_then(|reading| reading.agreement(&request.prompt));
            let agreement = agreement.unwrap_or(0.0);
            if best.as_ref().is_none_or(|(most, ..)| agreement > *most) {
                best = Some((agreement, request, generated));
            }
            if agreement >= 0.5 {
                break;
            }
        }
        let (agreement, request, generated) = best.expect("at least one was drawn");
        Ok(Verified {
            request: Request {
                selected_from: drawn,
                ..request
            },
            generated,
            agrees: agreement >= 0.5,
        })
    }

    /// What can be wrong before anything is drawn.
    fn check_verifiable(&self, request: &Request, tries: usize) -> Result<()> {
        if tries == 0 {
            return Err(fault("it needs at least 1 try"));
        }
        let Some(reader) = &self.configs.reader else {
            return Err(fault("the model has no reader; leave it out"));
        };
        if request.latents.is_some() {
            return Err(fault(
                "latents leave the seeds nothing to change; leave them out",
            ));
        }
        let asked = asked(&request.prompt);
        let tells = |name: &str| asked.normal || asked.labels.contains(&name);
        let known = reader.labels.iter().filter(|label| is_finding(&label.name));
        let mut known = known.filter(|label| label.auroc >= LEAST_AUROC);
        if known.any(|label| tells(&label.name)) {
            Ok(())
        } else {
            Err(fault(
                "the prompt asks for nothing that the model's reader can tell; leave it out",
            ))
        }
    }
}

fn fault(why: &str) -> Error {
    Error::request("verify", why)
}
