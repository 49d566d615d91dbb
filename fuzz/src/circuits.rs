//! Circuits: lowered programs, and EfficientSU2 from its angles to the gradient.

use arbitrary::Unstructured;
use num_complex::Complex64;
use qnnw::ansatz::{EfficientSu2, Entanglement};
use qnnw::gates::{Angles, Program, Rotation};
use qnnw::parallel::{Cancel, Team};
use qnnw::simd::{Level, Real};
use qnnw::{Circuit, evolve, generate};

use crate::{Made, angle, off};

const NEAR: [f64; 2] = [1e-11, 3e-4];

fn parity(mask: u64) -> u32 {
    mask.count_ones() & 1
}

/// P psi, a number after another.
fn by_pauli(r: &Rotation, state: &[Complex64]) -> Vec<Complex64> {
    let one = |index: u64| {
        let sign = if parity(r.signs & index) == 1 { -1.0 } else { 1.0 };
        Complex64::i().powi(-i32::from(r.quarters)) * sign * state[(index ^ r.flips) as usize]
    };
    (0..state.len() as u64).map(one).collect()
}

fn turned(r: &Rotation, by: f64, state: &[Complex64]) -> Vec<Complex64> {
    let (sin, cos) = (by / 2.0).sin_cos();
    let moved = by_pauli(r, state);
    state.iter().zip(moved).map(|(a, b)| a * cos - Complex64::i() * sin * b).collect()
}

/// Probabilities and gradient of a program by the definition.
fn plain(program: &Program, turns: &[f64], cotangent: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let hadamards = program.hadamards;
    let size = 0.5f64.powi(hadamards.count_ones() as i32).sqrt();
    let start = |index: u64| if index & !hadamards == 0 { size } else { 0.0 };
    let mut state: Vec<_> =
        (0..program.dimension() as u64).map(|index| Complex64::new(start(index), 0.0)).collect();
    for (r, &by) in program.rotations.iter().zip(turns) {
        state = turned(r, by, &state);
    }
    let end = |index: u64| {
        let bits = program.rows.iter().enumerate();
        bits.fold(0, |end, (qubit, &row)| end | (parity(row & index) as usize) << qubit)
    };
    let (mut probabilities, mut back) = (vec![0.0; state.len()], state.clone());
    for (index, amplitude) in state.iter().enumerate() {
        probabilities[end(index as u64)] = amplitude.norm_sqr();
        back[index] = amplitude * cotangent[end(index as u64)];
    }
    let mut by_turns = vec![0.0; turns.len()];
    for (place, r) in program.rotations.iter().enumerate().rev() {
        let moved = by_pauli(r, &state);
        by_turns[place] = back.iter().zip(moved).map(|(a, b)| (a.conj() * b).im).sum();
        state = turned(r, -turns[place], &state);
        back = turned(r, -turns[place], &back);
    }
    (probabilities, by_turns)
}

fn held<R: Real>(program: &Program, parameters: &[f64], cotangent: &[f64], near: f64) {
    let turns = program.evaluated(parameters).unwrap();
    let (probabilities, by_turns) = plain(program, &turns, cotangent);
    // Angles of up to 10^6 are summed in another order than here, to as many places.
    let near = near + f64::EPSILON * turns.iter().map(|by| by.abs()).sum::<f64>();
    let cancel = Cancel::default();
    let evolved = program.evolve::<R>(parameters, Team::Solo, &cancel).unwrap();
    let mut found = vec![R::default(); program.dimension()];
    program.measure(&evolved, &mut found, Team::Solo).unwrap();
    assert!(off(&found, &probabilities) < near, "probabilities");
    let by: Vec<_> = cotangent.iter().map(|&value| R::from_f64(value)).collect();
    let mut gradient = vec![R::default(); parameters.len()];
    program.backward(evolved, &by, &mut gradient, Team::Solo, &cancel).unwrap();
    let mut expected = vec![0.0; parameters.len()];
    program.brought_back(&by_turns, &mut expected);
    let size = expected.iter().fold(1.0, |size: f64, by| size.max(by.abs()));
    let terms: f64 = 1.0 + program.angles.coefficients.iter().map(|c| c.abs()).sum::<f64>();
    let far = off(&gradient, &expected);
    assert!(far < near * size * terms, "gradient off by {far:e}, of {size:e} and {terms}");
}

/// Any program: refused, or held against the definition at every level.
pub fn programs(bytes: &[u8]) {
    let _ = programs_of(&mut Unstructured::new(bytes));
}

fn programs_of(bytes: &mut Unstructured<'_>) -> Made {
    let qubits: usize = bytes.int_in_range(0..=7)?;
    let odd = bytes.ratio(1, 8)?; // as it comes, and mostly refused
    let mask = |bytes: &mut Unstructured<'_>| -> Made<u64> {
        if odd { bytes.arbitrary() } else { bytes.int_in_range(0..=(1u64 << qubits) - 1) }
    };
    let count: usize = bytes.int_in_range(0..=24)?;
    let num_parameters: usize = bytes.int_in_range(0..=6)?;
    let mut rotations = Vec::new();
    let mut terms = Angles { starts: vec![0], ..Angles::default() };
    for _ in 0..count {
        let (flips, signs) = (mask(bytes)?, mask(bytes)?);
        let both = (flips & signs).count_ones() as u8 & 3;
        let quarters = if odd {
            bytes.arbitrary()?
        } else if flips == 0 {
            0
        } else {
            both
        };
        if !odd && flips | signs == 0 {
            continue;
        }
        rotations.push(Rotation { flips, signs, quarters });
        terms.constants.push(angle(bytes)?);
        for _ in 0..bytes.int_in_range(0..=2)? {
            if num_parameters > 0 || odd {
                let most = if odd { num_parameters } else { num_parameters - 1 };
                terms.parameters.push(bytes.int_in_range(0..=most)?);
                terms.coefficients.push(f64::from(bytes.int_in_range(-8..=8)?) / 4.0);
            }
        }
        terms.starts.push(terms.parameters.len());
    }
    // A permutation of the basis by additions of rows, as CNOTs make one.
    let mut rows: Vec<_> = (0..qubits).map(|qubit| 1u64 << qubit).collect();
    for _ in 0..bytes.int_in_range(0..=12)? {
        if qubits > 1 {
            let (from, to) = (bytes.choose_index(qubits)?, bytes.choose_index(qubits)?);
            let row = rows[from];
            if from != to || odd {
                rows[to] ^= row;
            }
        }
    }
    let hadamards = mask(bytes)?;
    let parameters: Vec<_> = (0..num_parameters).map(|_| angle(bytes)).collect::<Made<_>>()?;
    let cotangent: Vec<_> = (0..1 << qubits)
        .map(|_| Ok(f64::from(bytes.arbitrary::<i8>()?) / 64.0))
        .collect::<Made<_>>()?;
    for level in Level::available() {
        let (rotations, terms, rows) = (rotations.clone(), terms.clone(), rows.clone());
        match Program::new(qubits, num_parameters, rotations, terms, rows, hadamards, level) {
            Ok(program) => {
                held::<f64>(&program, &parameters, &cotangent, NEAR[0]);
                held::<f32>(&program, &parameters, &cotangent, NEAR[1]);
            }
            Err(error) => assert!(odd || qubits == 0, "{error}"),
        }
    }
    Ok(())
}

/// EfficientSU2, gate by gate.
fn state_of(ansatz: &EfficientSu2, angles: &[f64]) -> Vec<Complex64> {
    let (qubits, dimension) = (ansatz.num_qubits(), ansatz.dimension());
    let mut state = vec![Complex64::new((dimension as f64).powf(-0.5), 0.0); dimension];
    for (layer, angles) in angles.chunks(2 * qubits).enumerate() {
        for (qubit, &theta) in angles[..qubits].iter().enumerate() {
            let (sin, cos) = (theta / 2.0).sin_cos();
            for zero in (0..dimension).filter(|index| index >> qubit & 1 == 0) {
                let one = zero | 1 << qubit;
                let (a, b) = (state[zero], state[one]);
                (state[zero], state[one]) = (cos * a - sin * b, sin * a + cos * b);
            }
        }
        for (qubit, &phi) in angles[qubits..].iter().enumerate() {
            for (index, amplitude) in state.iter_mut().enumerate() {
                let half = if index >> qubit & 1 == 0 { -0.5 } else { 0.5 };
                *amplitude *= Complex64::cis(half * phi);
            }
        }
        if layer < ansatz.reps() {
            for (control, target) in ansatz.entanglement().pairs(qubits, layer) {
                for zero in (0..dimension)
                    .filter(|index| index >> control & 1 == 1 && index >> target & 1 == 0)
                {
                    state.swap(zero, zero | 1 << target);
                }
            }
        }
    }
    state
}

fn probabilities_of(ansatz: &EfficientSu2, angles: &[f64]) -> Vec<f64> {
    state_of(ansatz, angles).iter().map(Complex64::norm_sqr).collect()
}

/// Any EfficientSU2 and any angles: state, probabilities and gradient in both precisions.
pub fn angles(bytes: &[u8]) {
    let _ = angles_of(&mut Unstructured::new(bytes));
}

fn angles_of(bytes: &mut Unstructured<'_>) -> Made {
    let qubits: usize = bytes.int_in_range(0..=8)?;
    let reps: usize = bytes.int_in_range(0..=5)?;
    let named = bytes.choose_index(Entanglement::NAMES.len() + 1)?;
    let entanglement = match Entanglement::NAMES.get(named) {
        Some(name) => Entanglement::from_name(name).unwrap(),
        None => Entanglement::Pairs(
            (0..bytes.int_in_range(0..=9)?)
                .map(|_| Ok((bytes.int_in_range(0..=8)?, bytes.int_in_range(0..=8)?)))
                .collect::<Made<_>>()?,
        ),
    };
    let fits = match &entanglement {
        Entanglement::Pairs(pairs) => {
            pairs.iter().all(|&(a, b)| a != b && (a as usize) < qubits && (b as usize) < qubits)
        }
        _ => true,
    };
    let ansatz = match EfficientSu2::new(qubits, reps, entanglement) {
        Ok(ansatz) => ansatz,
        Err(error) => {
            assert!(qubits == 0 || !fits, "{error}");
            return Ok(());
        }
    };
    assert!(fits);
    let count = ansatz.num_parameters();
    let values: Vec<_> = (0..count).map(|_| angle(bytes)).collect::<Made<_>>()?;
    let cotangent: Vec<_> = (0..ansatz.dimension())
        .map(|_| Ok(f64::from(bytes.arbitrary::<i8>().unwrap_or(3)) / 64.0))
        .collect::<Made<_>>()?;
    let which = if count > 0 { bytes.choose_index(count).unwrap_or(0) } else { 0 };
    let circuit = Circuit::from(ansatz.clone());
    let cancel = Cancel::default();
    let expected = state_of(&ansatz, &values);
    let mut state = vec![Complex64::default(); expected.len()];
    evolve::statevectors(&circuit, &values, &mut state, &cancel).unwrap();
    let worst = state.iter().zip(&expected).map(|(a, b)| (a - b).norm()).fold(0.0, f64::max);
    assert!(worst < NEAR[0], "state: {worst}");
    let wanted = probabilities_of(&ansatz, &values);
    // The rule of shifts says what the derivative by one angle is.
    let mut moved = values.clone();
    moved[which] += std::f64::consts::FRAC_PI_2;
    let up = probabilities_of(&ansatz, &moved);
    moved[which] -= std::f64::consts::PI;
    let down = probabilities_of(&ansatz, &moved);
    let by_rule: f64 =
        cotangent.iter().zip(up.iter().zip(&down)).map(|(c, (u, d))| c * (u - d) / 2.0).sum();
    let mut found = vec![0.0f64; wanted.len()];
    evolve::probabilities(&circuit, &values, &mut found, &cancel).unwrap();
    assert!(off(&found, &wanted) < NEAR[0], "probabilities");
    let mut gradient = vec![0.0f64; count];
    generate::probabilities_vjp(&circuit, &values, &cotangent, &mut gradient, &cancel).unwrap();
    assert!((gradient[which] - by_rule).abs() < 1e-9, "gradient");
    let mut single = vec![0.0f32; wanted.len()];
    evolve::probabilities(&circuit, &values, &mut single, &cancel).unwrap();
    assert!(off(&single, &wanted) < NEAR[1], "probabilities in single precision");
    let narrow: Vec<_> = cotangent.iter().map(|&value| value as f32).collect();
    let mut gradient = vec![0.0f32; count];
    generate::probabilities_vjp(&circuit, &values, &narrow, &mut gradient, &cancel).unwrap();
    assert!((f64::from(gradient[which]) - by_rule).abs() < 10.0 * NEAR[1], "in single precision");
    Ok(())
}
