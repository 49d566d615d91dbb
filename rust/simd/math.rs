//! Elementary functions of vectors: tanh, and the sine and cosine of half angles.
//!
//! The coefficients are this project's own minimax fits (weighted Remez exchange, 60 digits), for
//! the smallest relative error of the function that they make up. No function here needs fused
//! multiply-adds: products that must be exact have few enough bits without them.

use super::{Cpu, Kernel, Lanes, Level, Real};
use crate::error::Result;
use crate::memory;

/// Half angles up to this size take the vectors' path; their n has no more than 20 bits.
const MAX_VECTOR_ANGLE: f64 = 1e6;
/// Angles between two looks at the buffer of quarter turns.
const BLOCK: usize = 64;
/// Adding it leaves no room for a fraction: the sum's low bits are the integer.
const INTEGER_SHIFT: f64 = 1.5 * (1u64 << 52) as f64;

/// The number, nearest in the precision of `proof`, in every lane.
#[inline(always)]
fn constant<V: Lanes>(proof: V, value: f64) -> V {
    V::splat(proof.cpu(), V::Real::from_f64(value))
}

/// `coefficients[0] + coefficients[1] x + …`
///
/// Even and odd powers are two chains of operations that do not wait for each other.
#[inline(always)]
fn polynomial<V: Lanes, const N: usize>(x: V, coefficients: [f64; N]) -> V {
    let square = x.mul(x);
    let mut chains = [constant(x, 0.0); 2];
    let mut power = N;
    while power > 0 {
        power -= 1;
        let coefficient = constant(x, coefficients[power]);
        let chain = &mut chains[power % 2];
        *chain = if power + 2 < N { chain.mul_add(square, coefficient) } else { coefficient };
    }
    chains[1].mul_add(x, chains[0])
}

/// Whether the vectors are of double precision.
#[inline(always)]
const fn is_double<V: Lanes>() -> bool {
    size_of::<V::Real>() == size_of::<f64>()
}

/// `(n, u)` with exp(-y) = 2^n (1 - u) and |u| < 0.42, for y from 0 to 1386 (f32: to 166).
///
/// u keeps its relative accuracy near 0, where n is 0.
#[inline(always)]
fn exp_minus<V: Lanes>(y: V) -> (V, V) {
    // n has up to 11 bits (f32: 8) and the first part of ln 2 has 42 (16), so n times it is exact.
    let (ln2, ln2_rest) = if is_double::<V>() {
        (0.693_147_180_559_890_3, 5.497_923_018_708_371e-14)
    } else {
        (0.693_145_751_953_125, 1.428_606_820_309_417_3e-6)
    };
    let n = y.mul(constant(y, -std::f64::consts::LOG2_E)).round();
    let r = n.mul_add(constant(y, ln2), y);
    let r = n.mul_add(constant(y, ln2_rest), r);
    // u = 1 - exp(-r) = r - r^2 (1/2 - r/6 + …)
    let series = if is_double::<V>() {
        polynomial(
            r,
            [
                0.500_000_000_000_000_6,
                -0.166_666_666_666_665_77,
                0.041_666_666_666_576_084,
                -0.008_333_333_333_400_519,
                0.001_388_888_893_183_419_4,
                -0.000_198_412_696_891_553_47,
                2.480_150_490_724_742_2e-5,
                -2.755_743_949_966_176e-6,
                2.762_619_688_348_114_3e-7,
                -2.504_202_793_231_049e-8,
            ],
        )
    } else {
        polynomial(
            r,
            [
                0.499_999_980_085_226_3,
                -0.166_665_429_407_805_02,
                0.041_667_272_120_217_81,
                -0.008_366_611_833_862_668,
                0.001_387_632_662_160_433_2,
            ],
        )
    };
    (n, r.mul(r).neg_mul_add(series, r))
}

/// tanh: within 4 units of the last place everywhere, odd to the bit, ±1 from |x| = 20 on.
#[inline(always)]
pub fn tanh<V: Lanes>(x: V) -> V {
    let magnitude = x.abs();
    // 1 - tanh 20 is below half a unit. The limit comes first: what is not a number then stays so.
    let y = constant(x, 40.0).min(magnitude.add(magnitude));
    let (n, u) = exp_minus(y);
    // w = 1 - exp(-2|x|), without cancellation; tanh |x| = w / (2 - w).
    let scale = n.exp2_integer();
    let w = scale.mul_add(u, constant(x, 1.0).sub(scale));
    w.div(constant(x, 2.0).sub(w)).copysign(x)
}

/// `(tanh x, 1 - tanh² x)`, both within a few units of the last place as long as they are normal.
#[inline(always)]
pub fn tanh_with_derivative<V: Lanes>(x: V) -> (V, V) {
    let magnitude = x.abs();
    // From the limit on the derivative is 0: exp(-limit) is below the least number.
    let limit = if is_double::<V>() { 1386.0 } else { 166.0 };
    let (n, u) = exp_minus(constant(x, limit).min(magnitude.add(magnitude)));
    // 2^n in two factors: it may be too small for one exponent.
    let half = n.mul(constant(x, 0.5)).round();
    let (first, second) = (half.exp2_integer(), n.sub(half).exp2_integer());
    let one = constant(x, 1.0);
    let scale = first.mul(second);
    let w = scale.mul_add(u, one.sub(scale));
    let denominator = constant(x, 2.0).sub(w);
    // 1 - tanh² x = 4 exp(-2|x|) / (2 - w)², again without cancellation.
    let exponential = one.sub(u).mul(first).mul(second);
    let derivative = constant(x, 4.0).mul(exponential).div(denominator.mul(denominator));
    (w.div(denominator).copysign(x), derivative)
}

/// `(n, r)` with x = n π/2 + r, n an integer and |r| at most π/4 (and a rounding), for |x| to 10^6.
///
/// The error of r is one rounding: the first part of π/2 has 33 bits, so n times it is exact, and
/// so is what is left of x; the second part then goes down to 2^-87.
#[inline(always)]
pub fn half_turns<V: Lanes<Real = f64>>(x: V) -> (V, V) {
    let n = x.mul(constant(x, std::f64::consts::FRAC_2_PI)).round();
    let r = n.neg_mul_add(constant(x, 1.570_796_326_734_125_6), x);
    (n, n.neg_mul_add(constant(x, 6.077_100_506_506_192e-11), r))
}

/// `(sin r, cos r)` for |r| to π/4 and a little more, within 2e-16.
#[inline(always)]
pub fn sin_cos_small<V: Lanes<Real = f64>>(r: V) -> (V, V) {
    let square = r.mul(r);
    let sine = polynomial(
        square,
        [
            -0.166_666_666_666_666,
            0.008_333_333_333_316_465,
            -0.000_198_412_698_259_219_02,
            2.755_731_254_078_594_7e-6,
            -2.505_059_963_871_183_3e-8,
            1.588_855_209_169_480_4e-10,
        ],
    );
    let cosine = polynomial(
        square,
        [
            0.041_666_666_666_666_6,
            -0.001_388_888_888_887_412_5,
            2.480_158_728_948_221e-5,
            -2.755_731_435_233_889e-7,
            2.087_572_327_393_707_6e-9,
            -1.135_964_783_549_216_8e-11,
        ],
    );
    let flat = square.neg_mul_add(constant(r, 0.5), constant(r, 1.0));
    (r.mul(square).mul_add(sine, r), square.mul(square).mul_add(cosine, flat))
}

/// Half angles, reduced to an eighth of a turn: angle/2 = n π/2 + r.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HalfAngles {
    /// n modulo 4.
    pub quarter_turns: Vec<u8>,
    /// cos r.
    pub cos: Vec<f64>,
    /// sin r.
    pub sin: Vec<f64>,
}

impl HalfAngles {
    /// Reduces the halves of these angles, whatever was here before.
    ///
    /// On one level, every angle has the same result at every place of every slice.
    pub fn fill(&mut self, level: Level, angles: &[f64]) -> Result<()> {
        memory::resize(&mut self.quarter_turns, angles.len(), 0)?;
        memory::resize(&mut self.cos, angles.len(), 0.0)?;
        memory::resize(&mut self.sin, angles.len(), 0.0)?;
        let (quarter_turns, cos, sin) = (&mut self.quarter_turns, &mut self.cos, &mut self.sin);
        if !level.run(Reduce { angles, quarter_turns, cos, sin }) {
            self.replace_huge(angles);
        }
        Ok(())
    }

    /// Angles beyond the vectors' range, one by one.
    #[cold]
    fn replace_huge(&mut self, angles: &[f64]) {
        for (place, &angle) in angles.iter().enumerate() {
            let half = 0.5 * angle;
            if half.abs() > MAX_VECTOR_ANGLE {
                let (sin, cos) = libm::sincos(half);
                // The nearest axis tells n; turning back by n quarters leaves r.
                let (quarter, cos, sin) = match (cos.abs() >= sin.abs(), cos > 0.0, sin > 0.0) {
                    (true, true, _) => (0, cos, sin),
                    (false, _, true) => (1, sin, -cos),
                    (true, false, _) => (2, -cos, -sin),
                    (false, _, false) => (3, -sin, cos),
                };
                self.quarter_turns[place] = quarter;
                self.cos[place] = cos;
                self.sin[place] = sin;
            }
        }
    }
}

/// The vectors' part of [`HalfAngles::fill`]: whether all angles were in its range.
struct Reduce<'a> {
    angles: &'a [f64],
    quarter_turns: &'a mut [u8],
    cos: &'a mut [f64],
    sin: &'a mut [f64],
}

impl Kernel<f64> for Reduce<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<V: Lanes<Real = f64>>(self, cpu: Cpu<V>) -> bool {
        let Self { angles, quarter_turns, cos, sin } = self;
        let mut room = V::splat(cpu, MAX_VECTOR_ANGLE);
        let mut turns = [0.0; BLOCK];
        let whole = angles.len() - angles.len() % V::COUNT;
        let mut start = 0;
        while start < whole {
            let end = whole.min(start + BLOCK);
            room = reduce(
                &angles[start..end],
                &mut turns,
                &mut cos[start..end],
                &mut sin[start..end],
                room,
            );
            write_quarters(&turns, &mut quarter_turns[start..end]);
            start = end;
        }
        if whole < angles.len() {
            // The rest goes through the same code, filled up with zeros.
            let rest = angles.len() - whole;
            let (mut padded, mut padded_cos, mut padded_sin) = ([0.0; 16], [0.0; 16], [0.0; 16]);
            padded[..rest].copy_from_slice(&angles[whole..]);
            room = reduce(
                &padded[..V::COUNT],
                &mut turns,
                &mut padded_cos[..V::COUNT],
                &mut padded_sin[..V::COUNT],
                room,
            );
            cos[whole..].copy_from_slice(&padded_cos[..rest]);
            sin[whole..].copy_from_slice(&padded_sin[..rest]);
            write_quarters(&turns, &mut quarter_turns[whole..]);
        }
        let mut bit = V::BITS;
        while bit > 0 {
            bit -= 1;
            room = room.min(room.swap(bit));
        }
        room.lanes()[0] >= 0.0
    }
}

/// Reduces whole vectors of half angles, up to a block; n goes to `turns`, its bits low.
///
/// Returns `room`, lowered to what is left between the largest half angle and the vectors' limit.
#[inline(always)]
fn reduce<V: Lanes<Real = f64>>(
    angles: &[f64],
    turns: &mut [f64; BLOCK],
    cos: &mut [f64],
    sin: &mut [f64],
    mut room: V,
) -> V {
    let length = angles.len();
    assert!(length <= BLOCK && cos.len() == length && sin.len() == length);
    let mut place = 0;
    while place + V::COUNT <= length {
        let x = V::read(room.cpu(), &angles[place..]).mul(constant(room, 0.5));
        room = room.min(constant(room, MAX_VECTOR_ANGLE).sub(x.abs()));
        let (n, r) = half_turns(x);
        n.add(constant(room, INTEGER_SHIFT)).write(&mut turns[place..]);
        let (sine, cosine) = sin_cos_small(r);
        cosine.write(&mut cos[place..]);
        sine.write(&mut sin[place..]);
        place += V::COUNT;
    }
    room
}

/// The low two bits of the shifted integers.
#[inline(always)]
fn write_quarters(turns: &[f64; BLOCK], quarter_turns: &mut [u8]) {
    for (quarter, turn) in quarter_turns.iter_mut().zip(turns) {
        *quarter = turn.to_bits() as u8 & 3;
    }
}

#[cfg(test)]
#[path = "math_tests.rs"]
mod tests;
