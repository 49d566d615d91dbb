//! Rotations one after another on a plain vector: what plans and kernels are held against.

use num_complex::Complex64;
use proptest::prelude::*;

use super::program::{Angles, Program, Rotation};
use super::span::{Span, parity};
use crate::parallel::{Cancel, Team};
use crate::rng::{Domain, Stream};
use crate::simd::{Level, Real};

/// Probabilities, and by the angles of all rotations the gradient of a cotangent.
fn plain(
    num_qubits: usize,
    rotations: &[Rotation],
    (rows, hadamards): (&[u64], u64),
    angles: &[f64],
    cotangent: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let dimension = 1u64 << num_qubits;
    let size = 0.5f64.powi(hadamards.count_ones() as i32).sqrt();
    let start = |index: u64| if index & !hadamards == 0 { size } else { 0.0 };
    let mut state: Vec<_> = (0..dimension).map(|index| Complex64::new(start(index), 0.0)).collect();
    let by_pauli = |r: &Rotation, state: &[Complex64]| -> Vec<Complex64> {
        let one = |index: u64| {
            let sign = if parity(r.signs & index) == 1 { -1.0 } else { 1.0 };
            Complex64::i().powi(-i32::from(r.quarters)) * sign * state[(index ^ r.flips) as usize]
        };
        (0..dimension).map(one).collect()
    };
    let rotate = |r: &Rotation, angle: f64, state: &[Complex64]| -> Vec<Complex64> {
        let (sin, cos) = (angle / 2.0).sin_cos();
        let moved = by_pauli(r, state);
        state.iter().zip(moved).map(|(a, b)| a * cos - Complex64::i() * sin * b).collect()
    };
    for (r, &angle) in rotations.iter().zip(angles) {
        state = rotate(r, angle, &state);
    }
    let end = |index: u64| {
        let bits = rows.iter().enumerate();
        bits.fold(0, |end, (qubit, &row)| end | (parity(row & index) as usize) << qubit)
    };
    let (mut probabilities, mut back) = (vec![0.0; dimension as usize], state.clone());
    for (index, amplitude) in state.iter().enumerate() {
        probabilities[end(index as u64)] = amplitude.norm_sqr();
        back[index] = amplitude * cotangent[end(index as u64)];
    }
    let mut gradient = vec![0.0; rotations.len()];
    for (place, r) in rotations.iter().enumerate().rev() {
        let moved = by_pauli(r, &state);
        gradient[place] = back.iter().zip(moved).map(|(a, b)| (a.conj() * b).im).sum();
        state = rotate(r, -angles[place], &state);
        back = rotate(r, -angles[place], &back);
    }
    (probabilities, gradient)
}

/// The largest error of a program's probabilities and gradient, by the size of the gradient.
fn error<R: Real>(program: &Program, angles: &[f64], cotangent: &[f64]) -> f64 {
    let start = (&program.rows[..], program.hadamards);
    let expected = plain(program.num_qubits, &program.rotations, start, angles, cotangent);
    let cancel = Cancel::default();
    let evolved = program.evolve::<R>(angles, Team::Solo, &cancel).unwrap();
    let mut probabilities = vec![R::default(); program.dimension()];
    program.measure(&evolved, &mut probabilities, Team::Solo).unwrap();
    let mut gradient = vec![R::default(); angles.len()];
    let by: Vec<_> = cotangent.iter().map(|&value| R::from_f64(value)).collect();
    program.backward(evolved, &by, &mut gradient, Team::Solo, &cancel).unwrap();
    let size = expected.1.iter().fold(1.0, |size: f64, by| size.max(by.abs()));
    let off = |found: &[R], wanted: &[f64]| {
        let pairs = found.iter().zip(wanted);
        pairs.fold(0.0, |worst: f64, (a, b)| worst.max((a.to_f64() - b).abs()))
    };
    off(&probabilities, &expected.0).max(off(&gradient, &expected.1) / size)
}

proptest! {
    #![proptest_config(crate::oracle::strategies::cases(48))]

    #[test]
    fn every_level_agrees_with_the_plain_one(
        // Miri is a thousand times slower.
        qubits in 1..=if cfg!(miri) { 5 } else { 9usize },
        count in 0..if cfg!(miri) { 20 } else { 60usize },
        few in 1..=4u32,
        seed in any::<u64>(),
    ) {
        let mut stream = Stream::new(seed, Domain::Angles, 7, 9);
        let mut mask = |weight: u32| {
            (0..weight).fold(0, |bits, _| bits | 1u64 << stream.below(qubits as u64))
        };
        let mut rotations = Vec::new();
        while rotations.len() < count {
            let (flips, signs) = (mask(few), mask(few));
            let flips = if signs % 3 == 0 { 0 } else { flips };
            let both = (flips & signs).count_ones() as u8;
            let quarters = if flips == 0 { 0 } else { (both + 2 * u8::from(signs % 5 == 0)) % 4 };
            rotations.push(Rotation { flips, signs, quarters });
        }
        let (mut rows, mut span) = (Vec::new(), Span::default());
        while rows.len() < qubits {
            let row = mask(few);
            if span.insert(row) {
                rows.push(row);
            }
        }
        let hadamards = mask(2);
        let angles: Vec<_> = (0..count).map(|_| 40.0 * stream.uniform() - 20.0).collect();
        let cotangent: Vec<_> = (0..1 << qubits).map(|_| stream.uniform()).collect();
        let terms = Angles {
            constants: vec![0.0; count],
            starts: (0..=count).collect(),
            parameters: (0..count).collect(),
            coefficients: vec![1.0; count],
        };
        for level in Level::available() {
            let (rotations, terms, rows) = (rotations.clone(), terms.clone(), rows.clone());
            let made = Program::new(qubits, count, rotations, terms, rows, hadamards, level);
            let program = made.unwrap();
            prop_assert!(error::<f64>(&program, &angles, &cotangent) < 1e-13);
            prop_assert!(error::<f32>(&program, &angles, &cotangent) < 1e-5);
        }
    }
}
