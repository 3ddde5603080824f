//! The table of cases: the layers of SD 1.x
//! (<https://huggingface.co/CompVis/stable-diffusion-v1-4/blob/main/unet/config.json>), of SD 2.1
//! (<https://huggingface.co/stabilityai/stable-diffusion-2-1-base/blob/main/unet/config.json>) and
//! of the shipped model, and primes, which no tile divides.

mod primes;

use super::Activation;
use super::cases::Case;

/// Multiplications and additions that a case may cost where the table is `small`.
const SMALL: f64 = 1e7;

/// Levels of a U-Net: channels, height and width of the map, heads of its attention.
struct Network {
    batch: usize,
    levels: Vec<(usize, usize, usize)>,
    /// Latent channels.
    latents: usize,
    /// Width of the text embeddings.
    text: usize,
    /// Groups of the group normalisations.
    groups: usize,
    /// Channels of the decoder, from the image on.
    decoder: Vec<usize>,
}

/// The models of the table, as they are called in records.
pub const MODELS: [&str; 3] = ["sd1", "sd2", "shipped"];

fn network(model: &str) -> Option<Network> {
    Some(match model {
        "sd1" => Network {
            batch: 2,
            levels: vec![(320, 64, 8), (640, 32, 8), (1280, 16, 8), (1280, 8, 8)],
            latents: 4,
            text: 768,
            groups: 32,
            decoder: vec![128, 256, 512, 512],
        },
        "sd2" => Network {
            batch: 2,
            levels: vec![(320, 64, 5), (640, 32, 10), (1280, 16, 20), (1280, 8, 20)],
            latents: 4,
            text: 1024,
            groups: 32,
            decoder: vec![],
        },
        "shipped" => Network {
            batch: 2,
            levels: vec![(48, 16, 3), (96, 8, 3), (128, 4, 4)],
            latents: 8,
            text: 128,
            groups: 16,
            decoder: vec![8, 16, 32, 64],
        },
        _ => return None,
    })
}

/// The layers of one of [`MODELS`] at their real sizes; `None` for another name.
pub fn layers(model: &str) -> Option<Vec<Case>> {
    network(model).map(|network| different(network.layers()))
}

/// Every case. In a `small` table maps are halved until each case is cheap: the same kernels, in a
/// test's time.
pub fn cases(small: bool) -> Vec<Case> {
    let mut cases = primes::primes();
    for network in MODELS.into_iter().filter_map(network) {
        cases.extend(network.layers());
    }
    // As large as a group of Stable Diffusion's decoder at 512x512, which the smaller maps below do
    // not have.
    cases.push(Case::GroupNorm {
        shape: [1, 4, 512, 512],
        groups: 1,
        activated: true,
    });
    if small {
        cases.iter_mut().for_each(Case::shrink);
        cases.retain(|case| case.operations() <= SMALL);
    }
    different(cases)
}

/// The same, each once.
fn different(mut cases: Vec<Case>) -> Vec<Case> {
    let mut seen = std::collections::BTreeSet::new();
    cases.retain(|case| seen.insert(format!("{case:?}")));
    cases
}

/// A convolution with what a resnet adds.
fn conv(shape: [usize; 4], channels: usize, side: usize) -> Case {
    let padding = side / 2;
    Case::Conv2d {
        shape,
        channels,
        side,
        stride: 1,
        padding,
        upsample: false,
        added: false,
    }
}

impl Network {
    fn layers(&self) -> Vec<Case> {
        [
            self.convolutions(),
            self.transformers(),
            self.decoder(),
            self.text(),
        ]
        .concat()
    }

    fn convolutions(&self) -> Vec<Case> {
        let b = self.batch;
        let (first, size, _) = self.levels[0];
        let mut cases = vec![
            conv([b, self.latents, size, size], first, 3),
            conv([b, first, size, size], self.latents, 3),
        ];
        for (level, &(c, n, _)) in self.levels.iter().enumerate() {
            let below = self.levels[level.saturating_sub(1)].0;
            let above = self.levels[(level + 1).min(self.levels.len() - 1)].0;
            // On the way up a resnet sees what comes from below beside what was kept on the way
            // down.
            for c_in in [below, c, c + above, 2 * c, c + below] {
                let shape = [b, c_in, n, n];
                cases.push(Case::Conv2d {
                    shape,
                    channels: c,
                    side: 3,
                    stride: 1,
                    padding: 1,
                    upsample: false,
                    added: c_in == c,
                });
                cases.push(conv(shape, c, 1));
                for activated in [true, false] {
                    cases.push(Case::GroupNorm {
                        shape,
                        groups: self.groups,
                        activated,
                    });
                }
            }
            let shape = [b, c, n, n];
            let resampled = |stride, upsample| Case::Conv2d {
                shape,
                channels: c,
                side: 3,
                stride,
                padding: 1,
                upsample,
                added: false,
            };
            cases.extend([resampled(2, false), resampled(1, true)]);
        }
        cases
    }

    fn transformers(&self) -> Vec<Case> {
        let b = self.batch;
        let mut cases = Vec::new();
        for &(c, n, heads) in &self.levels {
            let shape = [b, n * n, c];
            let layer = |shape, channels, activation, added| Case::Linear {
                shape,
                channels,
                activation,
                added,
                transposed: true,
            };
            cases.extend([
                layer(shape, c, Some(Activation::None), false),
                layer(shape, c, Some(Activation::None), true),
                layer([b, 77, self.text], c, Some(Activation::None), false),
                layer(shape, 8 * c, None, false),
                layer([b, n * n, 4 * c], c, Some(Activation::None), true),
                Case::LayerNorm {
                    shape,
                    transposed: true,
                },
                Case::Attention {
                    shape,
                    keys: n * n,
                    heads,
                    is_causal: false,
                },
                Case::Attention {
                    shape,
                    keys: 77,
                    heads,
                    is_causal: false,
                },
                // time embedding: a row for each image
                layer(
                    [b, 1, 4 * self.levels[0].0],
                    c,
                    Some(Activation::None),
                    false,
                ),
            ]);
        }
        cases
    }

    fn decoder(&self) -> Vec<Case> {
        let Some(&deepest) = self.decoder.last() else {
            return Vec::new();
        };
        let mut n = self.levels[0].1;
        let mut cases = vec![
            conv([1, self.latents, n, n], deepest, 3),
            Case::Attention {
                shape: [1, n * n, deepest],
                keys: n * n,
                heads: 1,
                is_causal: false,
            },
        ];
        let mut before = deepest;
        for &c in self.decoder.iter().rev() {
            for c_in in [before, c] {
                cases.push(conv([1, c_in, n, n], c, 3));
                cases.push(Case::GroupNorm {
                    shape: [1, c_in, n, n],
                    groups: self.groups.min(c_in / 2),
                    activated: true,
                });
            }
            let shape = [1, c, n, n];
            cases.push(Case::Conv2d {
                shape,
                channels: c,
                side: 3,
                stride: 1,
                padding: 1,
                upsample: true,
                added: false,
            });
            // the encoder's, which pads below and on the right only
            cases.push(Case::Conv2d {
                shape,
                channels: c,
                side: 3,
                stride: 2,
                padding: 0,
                upsample: false,
                added: false,
            });
            (before, n) = (c, 2 * n);
        }
        cases.push(conv([1, before, n / 2, n / 2], 3, 3));
        cases
    }

    fn text(&self) -> Vec<Case> {
        let (c, shape) = (self.text, [1, 77, self.text]);
        let layer = |shape, channels, activation, added| Case::Linear {
            shape,
            channels,
            activation: Some(activation),
            added,
            transposed: false,
        };
        vec![
            Case::LayerNorm {
                shape,
                transposed: false,
            },
            Case::Attention {
                shape,
                keys: 77,
                heads: c / 64,
                is_causal: true,
            },
            layer(shape, c, Activation::None, true),
            layer(shape, 4 * c, Activation::QuickGelu, false),
            layer(shape, 4 * c, Activation::Gelu, false),
            layer([1, 77, 4 * c], c, Activation::None, true),
        ]
    }
}

impl Case {
    /// Multiplications and additions.
    pub fn operations(&self) -> f64 {
        let product = |numbers: &[usize]| numbers.iter().map(|&n| n as f64).product::<f64>();
        match *self {
            Case::Conv2d {
                shape,
                channels,
                side,
                stride,
                upsample,
                ..
            } => {
                let zoom = if upsample { 4.0 } else { 1.0 };
                2.0 * product(&shape) * product(&[channels, side, side]) * zoom
                    / product(&[stride, stride])
            }
            Case::Linear {
                shape, channels, ..
            } => 2.0 * product(&shape) * channels as f64,
            Case::GroupNorm { shape, .. } => 8.0 * product(&shape),
            Case::LayerNorm { shape, .. } => 8.0 * product(&shape),
            Case::Attention { shape, keys, .. } => 4.0 * product(&shape) * keys as f64,
        }
    }

    /// Halves the map or the sequence while the case costs more than [`SMALL`].
    fn shrink(&mut self) {
        while self.operations() > SMALL {
            let before = self.operations();
            match self {
                Case::Conv2d { shape, .. } | Case::GroupNorm { shape, .. } => {
                    let side = if shape[2] > shape[3] { 2 } else { 3 };
                    shape[side] = shape[side].div_ceil(2);
                }
                Case::Linear { shape, .. } | Case::LayerNorm { shape, .. } => {
                    shape[1] = shape[1].div_ceil(2)
                }
                Case::Attention {
                    shape,
                    keys,
                    is_causal,
                    ..
                } => {
                    shape[1] = shape[1].div_ceil(2);
                    // a query that attends up to its own place has a key there and no more after it
                    *keys = if *is_causal {
                        shape[1]
                    } else {
                        (*keys).min(shape[1]).max(77)
                    };
                }
            }
            if self.operations() >= before {
                return;
            }
        }
    }
}
