//! The maps, their ways back and their levels against plain formulas.

use std::f64::consts::{PI, SQRT_2};

use proptest::prelude::*;

use super::*;
use crate::weights::Signs;

const SIZES: [u64; 13] = [1, 2, 3, 4, 5, 7, 8, 9, 131, 6690, 8191, 8192, 8193];
const MAPPINGS: [Mapping; 4] =
    [Mapping::Paper, Mapping::Centered, Mapping::Sqrt, Mapping::Hadamard];

fn map(weights: u64, mapping: Mapping) -> WeightMap {
    WeightMap::new(weights, 7, Signs::Random, mapping, &Cancel::default()).unwrap()
}

/// Probabilities like those of a random circuit: exponential with mean 1 / 2^N.
fn probabilities<R: Real>(map: &WeightMap) -> Vec<R> {
    let bases = 1 << map.num_qubits;
    let spread = (0..bases).map(|basis| (0.5 + f64::from(basis) * 0.618_033_988_7) % 1.0);
    spread.map(|part| R::from_f64(-(part + 1e-9).ln() / f64::from(bases))).collect()
}

fn cotangent<R: Real>(map: &WeightMap) -> Vec<R> {
    (0..map.num_weights()).map(|weight| R::from_f64((weight as f64).sin())).collect()
}

fn doubles<R: Real>(numbers: &[R]) -> Vec<f64> {
    numbers.iter().map(|number| number.to_f64()).collect()
}

fn applied<R: Real>(map: &WeightMap, level: Level, probabilities: &[R], gamma: f64) -> Vec<R> {
    let mut weights = vec![R::default(); map.num_weights()];
    map.apply(level, probabilities, gamma, &mut weights, &Cancel::default()).unwrap();
    weights
}

fn pulled<R: Real>(
    map: &WeightMap,
    level: Level,
    probabilities: &[R],
    gamma: f64,
    cotangent: &[R],
) -> (Vec<R>, f64) {
    // Entries that nothing writes would show.
    let mut pulled = vec![R::from_f64(f64::NAN); probabilities.len()];
    let cancel = Cancel::default();
    let by_gamma =
        map.vjp(level, probabilities, gamma, cotangent, &mut pulled, 0.0, &cancel).unwrap();
    (pulled, by_gamma)
}

/// y_basis, and its derivative by every probability.
fn feature(map: &WeightMap, probabilities: &[f64], basis: usize) -> (f64, Vec<f64>) {
    let bases = probabilities.len() as f64;
    let mut slopes = vec![0.0; probabilities.len()];
    if map.mapping == Mapping::Sqrt {
        let root = (bases * probabilities[basis]).sqrt();
        let (mean, spread) = (PI.sqrt() / 2.0, (1.0 - PI / 4.0).sqrt());
        slopes[basis] = 0.5 * bases / root / spread;
        return ((root - mean) / spread, slopes);
    }
    for (other, slope) in slopes.iter_mut().enumerate() {
        let shared = f64::from((basis & other).count_ones() % 2);
        let sign = f64::from(map.basis_signs[other]);
        *slope = match map.num_qubits {
            1 if other == basis => bases * sign,
            1 => 0.0,
            _ => (1.0 - 2.0 * shared) * sign * bases.sqrt(),
        };
    }
    let pairs = slopes.iter().zip(probabilities);
    (pairs.map(|(slope, p)| slope * (p - 1.0 / bases)).sum(), slopes)
}

/// The formula's argument a and its derivative by every probability, weight by weight.
fn arguments(map: &WeightMap, probabilities: &[f64], gamma: f64) -> Vec<(f64, Vec<f64>)> {
    let bases = probabilities.len() as f64;
    let fed = map.first.iter().zip(&map.second).zip(&map.signs);
    fed.map(|((&first, &second), &sign)| {
        let (first, second) = (first as usize, second as usize);
        let q = 0.5 * (probabilities[first] + probabilities[second]);
        let mean = |x: f64, slope: f64| {
            let mut slopes = vec![0.0; probabilities.len()];
            slopes[first] += 0.5 * slope;
            slopes[second] += 0.5 * slope;
            (x, slopes)
        };
        let (x, slopes) = match map.mapping {
            Mapping::Paper => mean(0.5 * bases * q, 0.5 * bases),
            Mapping::Centered => mean(bases * q - 1.0, bases),
            _ if first == second => feature(map, probabilities, first),
            _ => {
                let both = [first, second].map(|basis| feature(map, probabilities, basis));
                let [(x, slopes), (y, others)] = both;
                let sums = slopes.iter().zip(&others).map(|(one, other)| (one + other) / SQRT_2);
                ((x + y) / SQRT_2, sums.collect())
            }
        };
        let signed_gamma = f64::from(sign) * gamma;
        (signed_gamma * x, slopes.iter().map(|slope| signed_gamma * slope).collect())
    })
    .collect()
}

fn plain(arguments: &[(f64, Vec<f64>)], gamma: f64) -> Vec<f64> {
    arguments.iter().map(|(a, _)| gamma * libm::tanh(*a)).collect()
}

fn plain_vjp(arguments: &[(f64, Vec<f64>)], gamma: f64, cotangent: &[f64]) -> (Vec<f64>, f64) {
    let (mut pulled, mut by_gamma) = (vec![0.0; arguments[0].1.len()], 0.0);
    for ((a, slopes), cotangent) in arguments.iter().zip(cotangent) {
        let derivative = libm::cosh(*a).powi(-2);
        by_gamma += cotangent * (libm::tanh(*a) + a * derivative);
        for (one, slope) in pulled.iter_mut().zip(slopes) {
            *one += cotangent * gamma * derivative * slope;
        }
    }
    (pulled, by_gamma)
}

/// Holds both functions, in one precision, against the plain formulas.
fn check<R: Real>(map: &WeightMap, gamma: f64, tolerance: f64) {
    let probabilities = probabilities::<R>(map);
    let cotangent = cotangent::<R>(map);
    let exact = doubles(&probabilities);
    let arguments = arguments(map, &exact, gamma);
    let right = plain(&arguments, gamma);
    let (right_pulled, right_by_gamma) = plain_vjp(&arguments, gamma, &doubles(&cotangent));
    // A sum of many terms is right to the size of the largest.
    let summed = matches!(map.mapping, Mapping::Sqrt | Mapping::Hadamard);
    let largest = right_pulled.iter().fold(0.0f64, |most, one| most.max(one.abs()));
    let bases = exact.len() as f64;
    for level in Level::available() {
        let weights = doubles(&applied(map, level, &probabilities, gamma));
        for (weight, right) in weights.iter().zip(&right) {
            let close = size_of::<R>() == 8 && !summed;
            let scale = if close { right.abs() } else { gamma.max(gamma * gamma) };
            assert!((weight - right).abs() <= tolerance * scale, "{level:?}: {weight} {right}");
        }
        let (pulled, by_gamma) = pulled(map, level, &probabilities, gamma, &cotangent);
        let scale = (gamma * gamma * bases).max(largest);
        for (one, right) in doubles(&pulled).iter().zip(&right_pulled) {
            assert!((one - right).abs() <= tolerance * scale, "{level:?}: {one} {right}");
        }
        assert!((by_gamma - right_by_gamma).abs() <= tolerance * (1.0 + bases.sqrt()));
    }
}

#[test]
fn vectors_agree_with_the_plain_formulas() {
    for (weights, mapping) in SIZES.into_iter().flat_map(|m| MAPPINGS.map(|rule| (m, rule))) {
        if weights > 1000 && mapping == Mapping::Hadamard {
            continue; // the plain formula takes the square of them
        }
        let map = map(weights, mapping);
        for gamma in [0.03, 0.5, 4.0] {
            check::<f64>(&map, gamma, 1e-13);
            check::<f32>(&map, gamma, 1e-5);
        }
    }
}

#[test]
fn gammas_of_their_own_are_one_where_all_are() {
    for (weights, mapping) in SIZES.into_iter().flat_map(|m| MAPPINGS.map(|rule| (m, rule))) {
        let map = map(weights, mapping);
        let (probabilities, cotangent) = (probabilities::<f64>(&map), cotangent::<f64>(&map));
        let cancel = Cancel::default();
        let several: Vec<f64> = (0..weights).map(|at| [0.3, 1.7, 0.9][at as usize % 3]).collect();
        for level in Level::available() {
            let mut weights = vec![0.0; several.len()];
            map.apply_each(level, &probabilities, &several, &mut weights, &cancel).unwrap();
            let mut by_p = vec![f64::NAN; probabilities.len()];
            let mut by_gammas = vec![f64::NAN; several.len()];
            let out = (&mut by_p, &mut by_gammas);
            map.vjp_each(level, &probabilities, &several, &cotangent, out.0, out.1, 0.0, &cancel)
                .unwrap();
            let mut summed = vec![0.0; probabilities.len()];
            for (turn, gamma) in [0.3, 1.7, 0.9].into_iter().enumerate() {
                let expected = applied(&map, level, &probabilities, gamma);
                let own = |at: &usize| at % 3 == turn;
                assert!((0..several.len()).filter(own).all(|at| weights[at] == expected[at]));
                let mut some = cotangent.clone();
                let others = some.iter_mut().enumerate().filter(|(at, _)| !own(at));
                others.for_each(|(_, entry)| *entry = 0.0);
                let (part, by_gamma) = pulled(&map, level, &probabilities, gamma, &some);
                summed.iter_mut().zip(part).for_each(|(sum, one)| *sum += one);
                let found: f64 = (0..several.len()).filter(own).map(|at| by_gammas[at]).sum();
                assert!((found - by_gamma).abs() <= 1e-10 * (1.0 + by_gamma.abs()));
            }
            let largest = summed.iter().fold(1.0f64, |most, one| most.max(one.abs()));
            let pairs = by_p.iter().zip(&summed);
            assert!(pairs.into_iter().all(|(one, sum)| (one - sum).abs() <= 1e-12 * largest));
        }
    }
}

#[test]
fn huge_gammas_saturate() {
    for mapping in MAPPINGS {
        let map = map(5, mapping);
        for level in Level::available() {
            let probabilities = [1.0, 0.0, 0.5, 0.25, 0.5, 0.75, 1.0, 0.6f32];
            let weights = applied(&map, level, &probabilities, 1e38);
            assert!(weights.iter().all(|weight| weight.abs() == 1e38 || *weight == 0.0));
            let (pulled, by_gamma) = pulled(&map, level, &probabilities, 1e38, &[1.0; 5]);
            // The transform takes infinities from each other.
            let sound = mapping == Mapping::Hadamard || pulled.iter().all(|one| !one.is_nan());
            assert!(sound && by_gamma.is_finite());
        }
    }
}

#[test]
fn derivative_agrees_with_differences() {
    for (weights, mapping) in [1, 5, 131].into_iter().flat_map(|m| MAPPINGS.map(|r| (m, r))) {
        let map = map(weights, mapping);
        let (mut probabilities, gamma) = (probabilities::<f64>(&map), 0.7);
        let cotangent = cotangent::<f64>(&map);
        let level = Level::current().unwrap();
        let loss = |probabilities: &[f64], gamma| -> f64 {
            let weights = applied(&map, level, probabilities, gamma);
            weights.iter().zip(&cotangent).map(|(weight, factor)| weight * factor).sum()
        };
        let (pulled, by_gamma) = pulled(&map, level, &probabilities, gamma, &cotangent);
        let slope =
            (loss(&probabilities, gamma + 1e-5) - loss(&probabilities, gamma - 1e-5)) / 2e-5;
        assert!((by_gamma - slope).abs() < 1e-7);
        for basis in 0..probabilities.len() {
            if mapping == Mapping::Sqrt && probabilities[basis] < 0.3 / pulled.len() as f64 {
                continue; // too curved for differences of this step
            }
            let (here, step) = (probabilities[basis], 1e-5 / pulled.len() as f64);
            probabilities[basis] = here + step;
            let above = loss(&probabilities, gamma);
            probabilities[basis] = here - step;
            let slope = (above - loss(&probabilities, gamma)) / (2.0 * step);
            probabilities[basis] = here;
            assert!((pulled[basis] - slope).abs() < 1e-7 * pulled.len() as f64);
        }
    }
}

#[test]
fn weights_do_not_depend_on_their_place() {
    let map = map(6690, Mapping::Centered);
    let probabilities = probabilities::<f64>(&map);
    for level in Level::available() {
        let mut weights = applied(&map, level, &probabilities, 0.5);
        let mut turned = map.clone();
        turned.first.rotate_left(1237);
        turned.second.rotate_left(1237);
        turned.signs.rotate_left(1237);
        weights.rotate_left(1237);
        assert_eq!(applied(&turned, level, &probabilities, 0.5), weights);
    }
}

#[test]
fn results_do_not_depend_on_threads() {
    let before = parallel::num_threads();
    let map = map(40_001, Mapping::Paper);
    let (probabilities, cotangent) = (probabilities::<f64>(&map), cotangent::<f64>(&map));
    for level in Level::available() {
        let mut results = [1, 2, 3, 8].map(|threads| {
            parallel::set_num_threads(threads).unwrap();
            let weights = applied(&map, level, &probabilities, 0.5);
            (weights, pulled(&map, level, &probabilities, 0.5, &cotangent))
        });
        let (first, others) = results.split_first_mut().unwrap();
        assert!(others.iter().all(|other| other == first));
    }
    parallel::set_num_threads(before).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_size_and_gamma_is_right(
        weights in 1u64..700,
        gamma in 1e-3..20.0f64,
        rule in 0..MAPPINGS.len(),
    ) {
        let map = map(weights, MAPPINGS[rule]);
        check::<f64>(&map, gamma, 1e-13);
        check::<f32>(&map, gamma, 1e-5);
    }
}
