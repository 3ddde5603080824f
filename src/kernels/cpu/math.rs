//! Exponentials and what is made of them, a vector at a time.

use crate::kernels::activation::Activation;
use pulp::Simd;

/// Adding it to a float of at most 2^22 rounds that float and leaves the integer in the lowest
/// bits.
const ROUND: f32 = 12_582_912.0;

/// `2^f` between -1/2 and 1/2 as a polynomial, lowest power first: the one of this degree whose
/// largest relative error is least, 7.5e-8.
const TWO_TO_THE: [f32; 6] = [
    1.000_000_1,
    0.693_146_97,
    0.240_221_2,
    0.055_507_133,
    0.009_675_541,
    0.001_327_647_2,
];

/// `e^x`, to about 2e-7 near 0 and 1e-6 at -10; `x` below -60 and above 88 is taken for these.
/// Beyond -60 it is nothing beside 1, but a product with it, as a softmax or a gradient has, would
/// soon be denormal, which takes a processor fifty times as long.
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let value = |v: f32| simd.splat_f32s(v);
    // Floats of one sign are in the order of their bits, which compare in one instruction; a
    // browser needs eight for floats.
    let bits = simd.transmute_u32s_f32s(x);
    // all of a positive sign are below
    let bits = simd.min_u32s(bits, simd.splat_u32s((-60f32).to_bits()));
    let bits = simd.transmute_i32s_f32s(simd.transmute_f32s_u32s(bits));
    // all of a negative sign are below
    let bits = simd.min_i32s(bits, simd.splat_i32s(88f32.to_bits() as i32));
    let x = simd.transmute_f32s_i32s(bits);
    // e^x = 2^n 2^f, with n whole and f between -1/2 and 1/2.
    let power = simd.mul_f32s(x, value(std::f32::consts::LOG2_E));
    let rounded = simd.add_f32s(power, value(ROUND));
    let f = simd.sub_f32s(power, simd.sub_f32s(rounded, value(ROUND)));
    let mut sum = value(TWO_TO_THE[5]);
    for c in TWO_TO_THE[..5].iter().rev() {
        sum = simd.mul_add_e_f32s(sum, f, value(*c));
    }
    // Times 2^n: n is added where a float has its exponent.
    let n = simd.mul_u32s(simd.transmute_u32s_f32s(rounded), simd.splat_u32s(1 << 23));
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(sum), n))
}

/// `value` where `x * slope` is above -40, where a sigmoid is 4e-18; else 0. What is smaller is
/// nothing in a sum, but times a gradient it is soon denormal, and a product of denormal numbers
/// takes a processor fifty times as long.
#[inline(always)]
fn above_nothing<S: Simd>(simd: S, x: S::f32s, slope: f32, value: S::f32s) -> S::f32s {
    let counts = simd.greater_than_or_equal_f32s(x, simd.splat_f32s(-40.0 / slope));
    simd.select_f32s(counts, value, simd.splat_f32s(0.0))
}

/// `x * sigmoid(slope * x)`
#[inline(always)]
fn swish<S: Simd>(simd: S, x: S::f32s, slope: f32) -> S::f32s {
    let shrunk = exp(simd, simd.mul_f32s(x, simd.splat_f32s(-slope)));
    let y = simd.div_f32s(x, simd.add_f32s(simd.splat_f32s(1.0), shrunk));
    above_nothing(simd, x, slope, y)
}

/// `sigmoid(slope * x)`
#[cfg(feature = "training")]
#[inline(always)]
fn sigmoid<S: Simd>(simd: S, x: S::f32s, slope: f32) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    let shrunk = exp(simd, simd.mul_f32s(x, simd.splat_f32s(-slope)));
    simd.div_f32s(one, simd.add_f32s(one, shrunk))
}

/// `1 + erf(x / sqrt(2))`, with the error function of Abramowitz and Stegun 7.1.26, to 1.5e-7; and
/// `e^(-x^2 / 2)`.
#[inline(always)]
fn normal<S: Simd>(simd: S, x: S::f32s) -> [S::f32s; 2] {
    let value = |v: f32| simd.splat_f32s(v);
    let one = value(1.0);
    let z = simd.mul_f32s(simd.abs_f32s(x), value(std::f32::consts::FRAC_1_SQRT_2));
    let t = simd.div_f32s(one, simd.mul_add_e_f32s(z, value(0.327_591_1), one));
    let mut sum = value(1.061_405_4);
    for c in [-1.453_152_1, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        sum = simd.mul_add_e_f32s(sum, t, value(c));
    }
    let fall = exp(simd, simd.mul_f32s(simd.mul_f32s(z, z), value(-1.0)));
    let rest = simd.mul_f32s(simd.mul_f32s(sum, t), fall); // erfc(|x| / sqrt(2))
    // (1 + erf) is `rest` left of zero and `2 - rest` right of it.
    let right = simd.greater_than_or_equal_f32s(x, value(0.0));
    let both = simd.select_f32s(right, simd.sub_f32s(value(2.0), rest), rest);
    [both, fall]
}

/// The highest of each lane so far, of floats in no order; as [`exp`] compares them.
pub struct Highest<S: Simd> {
    /// The highest, where one is positive.
    positive: S::i32s,
    /// The highest, where all are negative.
    negative: S::u32s,
}

impl<S: Simd> Highest<S> {
    /// Of nothing.
    #[inline(always)]
    pub fn new(simd: S) -> Self {
        Self {
            positive: simd.splat_i32s(i32::MIN),
            negative: simd.splat_u32s(u32::MAX),
        }
    }

    /// And of `x`.
    #[inline(always)]
    pub fn add(&mut self, simd: S, x: S::f32s) {
        self.positive = simd.max_i32s(self.positive, simd.transmute_i32s_f32s(x));
        self.negative = simd.min_u32s(self.negative, simd.transmute_u32s_f32s(x));
    }

    /// Of all lanes.
    #[inline(always)]
    pub fn of_all(self, simd: S) -> f32 {
        let any = simd.greater_than_or_equal_i32s(self.positive, simd.splat_i32s(0));
        let positive = simd.transmute_f32s_i32s(self.positive);
        let negative = simd.transmute_f32s_u32s(self.negative);
        simd.reduce_max_f32s(simd.select_f32s(any, positive, negative))
    }
}

/// An activation of a vector.
#[inline(always)]
pub fn activate<S: Simd>(simd: S, x: S::f32s, activation: Activation) -> S::f32s {
    match activation {
        Activation::None => x,
        Activation::Gelu => {
            let [both, _] = normal(simd, x);
            simd.mul_f32s(simd.mul_f32s(x, simd.splat_f32s(0.5)), both)
        }
        Activation::QuickGelu => swish(simd, x, 1.702),
        Activation::Silu => swish(simd, x, 1.0),
    }
}

/// The derivative of `x * sigmoid(factor * x)`.
#[cfg(feature = "training")]
#[inline(always)]
fn swish_slope<S: Simd>(simd: S, x: S::f32s, factor: f32) -> S::f32s {
    let s = sigmoid(simd, x, factor);
    let rest = simd.mul_f32s(s, simd.sub_f32s(simd.splat_f32s(1.0), s));
    let slope = simd.mul_add_e_f32s(simd.mul_f32s(x, simd.splat_f32s(factor)), rest, s);
    above_nothing(simd, x, factor, slope)
}

/// The derivative of an activation.
#[cfg(feature = "training")]
#[inline(always)]
pub fn slope<S: Simd>(simd: S, x: S::f32s, activation: Activation) -> S::f32s {
    match activation {
        Activation::None => simd.splat_f32s(1.0),
        Activation::Gelu => {
            let [both, fall] = normal(simd, x);
            let density = simd.mul_f32s(fall, simd.splat_f32s(0.398_942_3)); // over sqrt(2 pi)
            simd.mul_add_e_f32s(x, density, simd.mul_f32s(both, simd.splat_f32s(0.5)))
        }
        Activation::QuickGelu => swish_slope(simd, x, 1.702),
        Activation::Silu => swish_slope(simd, x, 1.0),
    }
}

#[cfg(all(test, feature = "training"))]
mod tests {
    use super::*;
    use pulp::Scalar;

    #[test]
    fn nothing_is_denormal_even_times_a_gradient() {
        for x in (-4000..4000).map(|i| i as f32 * 0.25) {
            for activation in [Activation::Gelu, Activation::QuickGelu, Activation::Silu] {
                let y = activate(Scalar, x, activation);
                let slope = slope(Scalar, x, activation);
                for value in [y, slope, exp(Scalar, x.min(0.0))] {
                    let small = value.abs() * 1e-8;
                    assert!(
                        value == 0.0 || small.is_normal(),
                        "{activation:?} {x} {value}"
                    );
                }
            }
        }
    }
}
