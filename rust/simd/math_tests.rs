//! Elementary functions against those of libm.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4};

use proptest::prelude::*;

use super::*;

/// tanh and its derivative of a padded slice.
struct Tanh<'a, R>(&'a [R]);

impl<R: Real> Kernel<R> for Tanh<'_, R> {
    type Output = Vec<[R; 3]>;

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) -> Self::Output {
        let mut results = Vec::new();
        for chunk in self.0.chunks(V::COUNT) {
            let mut lanes = [[R::default(); 16]; 4];
            lanes[3][..chunk.len()].copy_from_slice(chunk);
            let x = V::read(cpu, &lanes[3]);
            let (value, derivative) = tanh_with_derivative(x);
            tanh(x).write(&mut lanes[0]);
            value.write(&mut lanes[1]);
            derivative.write(&mut lanes[2]);
            results.extend((0..chunk.len()).map(|lane| [0, 1, 2].map(|row| lanes[row][lane])));
        }
        results
    }
}

/// Largest relative errors of tanh and of its derivative over numbers of this precision.
fn tanh_errors<R: Real>(level: Level, numbers: &[f64], least: f64) -> [f64; 2] {
    let numbers: Vec<R> = numbers.iter().map(|&number| R::from_f64(number)).collect();
    let mut errors = [0.0f64; 2];
    for (x, [value, same, derivative]) in numbers.iter().zip(level.run(Tanh(&numbers))) {
        assert_eq!(value, same);
        let (x, value, derivative) = (x.to_f64(), value.to_f64(), derivative.to_f64());
        assert_eq!(value.is_sign_negative(), x.is_sign_negative());
        let right = libm::tanh(x);
        // Numbers below the normal ones are right to their own unit.
        errors[0] = errors[0].max((value - right).abs() / right.abs().max(least));
        let exponential = libm::exp(-2.0 * x.abs());
        let right = 4.0 * exponential / (1.0 + exponential).powi(2);
        errors[1] = errors[1].max((derivative - right).abs() / right.max(least));
    }
    errors
}

/// The half angles of `angles`, each with its sine and cosine turned back.
fn turned(level: Level, angles: &[f64]) -> Vec<(f64, f64)> {
    let mut half = HalfAngles::default();
    half.fill(level, angles).unwrap();
    let reduced = half.quarter_turns.iter().zip(&half.cos).zip(&half.sin);
    let turn = |((&quarter, &cos), &sin): ((&u8, &f64), &f64)| {
        assert!(cos > 0.707 && sin.abs() < 0.708);
        match quarter {
            0 => (sin, cos),
            1 => (cos, -sin),
            2 => (-sin, -cos),
            3 => (-cos, sin),
            _ => panic!("{quarter} quarter turns"),
        }
    };
    reduced.map(turn).collect()
}

fn assert_right(angles: &[f64]) {
    for level in Level::available() {
        for (&angle, (sin, cos)) in angles.iter().zip(turned(level, angles)) {
            let (right_sin, right_cos) = libm::sincos(0.5 * angle);
            let error = (sin - right_sin).abs().max((cos - right_cos).abs());
            assert!(error <= 3e-16, "{level:?}, {angle}: {error}");
        }
    }
}

#[test]
fn tanh_is_accurate_everywhere() {
    let mut numbers = vec![0.0, 1e-30, 0.1732, 0.1733, 0.5198, 0.52, 18.5, 19.0, 19.5, 20.0];
    numbers.extend((-1200..3100).map(|power| (f64::from(power) * 0.01).exp()));
    numbers.extend((1..20_000).map(|step| f64::from(step) * 1.234e-3));
    numbers.extend(numbers.clone().iter().map(|x| -x));
    for level in Level::available() {
        let [value, derivative] = tanh_errors::<f64>(level, &numbers, 1e-300);
        assert!(value < 8e-16 && derivative < 2e-15);
        let [value, derivative] = tanh_errors::<f32>(level, &numbers, 1e-36);
        assert!(value < 3e-7 && derivative < 6e-7);
    }
}

#[test]
fn tanh_of_the_ends_of_the_range() {
    for level in Level::available() {
        let ends = [0.0, -0.0, 5e-324, -5e-324, 1e-310, 21.0, -744.0, 1e300, f64::MAX];
        let results = level.run(Tanh(&ends));
        for (x, [value, same, derivative]) in ends.iter().zip(&results) {
            assert_eq!((value.to_bits(), same), (libm::tanh(*x).to_bits(), value));
            assert!(if x.abs() < 1.0 { *derivative == 1.0 } else { *derivative < 1e-17 });
        }
        assert_eq!(results[7][2], 0.0);
        let ends = [0.0f32, -0.0, 1e-45, -1e-45, 1e-40, 10.0, -84.0, 1e30, f32::MAX];
        let results = level.run(Tanh(&ends));
        for (x, [value, same, derivative]) in ends.iter().zip(&results) {
            assert_eq!((value.to_bits(), same), (libm::tanhf(*x).to_bits(), value));
            assert!(if x.abs() < 1.0 { *derivative == 1.0 } else { *derivative < 1e-8 });
        }
        assert_eq!(results[7][2], 0.0);
        for [value, same, derivative] in level.run(Tanh(&[f64::NAN])) {
            assert!(value.is_nan() && same.is_nan() && derivative.is_nan());
        }
    }
}

#[test]
fn half_angles_near_the_borders_of_octants() {
    let mut angles = vec![0.0, -0.0, 5e-324, 1e-300, 1e-9];
    let borders = (-4000..=4000).chain((1..60).map(|step| step * 20_000 + 1)).map(f64::from);
    for border in borders.map(|border| border * FRAC_PI_4) {
        angles.extend([border.next_down(), border, border.next_up(), 2.0 * border]);
    }
    let limit = 2.0 * MAX_VECTOR_ANGLE;
    angles.extend([limit.next_down(), limit, limit.next_up(), -limit, -limit.next_up()]);
    angles.extend([1e8, -1e15, 1e22, -1e300, f64::MAX, f64::MIN, FRAC_PI_2 * 2f64.powi(1000)]);
    assert_right(&angles);
}

#[test]
fn half_angles_do_not_depend_on_their_place() {
    let angles: Vec<f64> =
        (0..200).map(|step| if step == 77 { 1e7 } else { f64::from(step * step) }).collect();
    for level in Level::available() {
        let mut alone = HalfAngles::default();
        let mut all = HalfAngles::default();
        for start in 0..70 {
            for length in [1, 2, 3, 5, 17, 63, 64, 65, 127, 130] {
                let slice = &angles[start..start + length];
                all.fill(level, slice).unwrap();
                assert_eq!(all.cos.len(), length);
                for (place, &angle) in slice.iter().enumerate().step_by(7) {
                    alone.fill(level, &[angle]).unwrap();
                    assert_eq!(alone.quarter_turns[0], all.quarter_turns[place]);
                    assert_eq!(alone.cos[0].to_bits(), all.cos[place].to_bits());
                    assert_eq!(alone.sin[0].to_bits(), all.sin[place].to_bits());
                }
            }
        }
        all.fill(level, &[]).unwrap();
        assert_eq!(all, HalfAngles::default());
    }
}

proptest! {
    #[test]
    fn half_angles_are_right(
        near in prop::collection::vec(-10.0..10.0f64, 1..40),
        far in prop::collection::vec(-2e6..2e6f64, 1..40),
        any in prop::collection::vec(prop::num::f64::NORMAL, 1..40),
    ) {
        assert_right(&near);
        assert_right(&far);
        assert_right(&any);
    }

    #[test]
    fn tanh_is_right(
        near in prop::collection::vec(-25.0..25.0f64, 1..40),
        small in prop::collection::vec(-1e-3..1e-3f64, 1..40),
        any in prop::collection::vec(prop::num::f64::NORMAL, 1..40),
    ) {
        for level in Level::available() {
            for numbers in [&near, &small, &any] {
                prop_assert!(tanh_errors::<f64>(level, numbers, 1e-300)[0] < 8e-16);
            }
            for numbers in [&near, &small] {
                prop_assert!(tanh_errors::<f32>(level, numbers, 1e-36)[0] < 3e-7);
            }
        }
    }
}
