//! Maps: drawn or from any arrays, applied and pulled back.

use arbitrary::Unstructured;
use qnnw::WeightMap;
use qnnw::parallel::Cancel;
use qnnw::simd::{Level, Real};
use qnnw::weights::{Mapping, Signs, qubits_for};

use crate::{Made, off};

const MAPPINGS: [Mapping; 4] =
    [Mapping::Paper, Mapping::Centered, Mapping::Sqrt, Mapping::Hadamard];

/// What the tanh is taken of, and its derivatives by all probabilities, by the definition.
fn read(map: &WeightMap, p: &[f64], weight: usize) -> (f64, Vec<f64>) {
    let d = p.len() as f64;
    let [first, second] = [map.first()[weight] as usize, map.second()[weight] as usize];
    let fed: Vec<usize> = if first == second { vec![first] } else { vec![first, second] };
    let mean = matches!(map.mapping(), Mapping::Paper | Mapping::Centered);
    let share = if mean { fed.len() as f64 } else { (fed.len() as f64).sqrt() };
    let (mut x, mut by) = (0.0, vec![0.0; p.len()]);
    for basis in fed {
        match map.mapping() {
            Mapping::Paper => {
                x += d / 2.0 * p[basis] / share;
                by[basis] += d / 2.0 / share;
            }
            Mapping::Centered => {
                x += (d * p[basis] - 1.0) / share;
                by[basis] += d / share;
            }
            Mapping::Sqrt => {
                let (m, sd) = (std::f64::consts::PI.sqrt() / 2.0, 1.0 - std::f64::consts::PI / 4.0);
                let root = (d * p[basis]).sqrt();
                x += (root - m) / sd.sqrt() / share;
                by[basis] += d / (2.0 * sd.sqrt() * root) / share;
            }
            Mapping::Hadamard => {
                for (other, &r) in map.basis_signs().iter().enumerate() {
                    let r = f64::from(r);
                    // Of one qubit nothing is transformed.
                    let entry = match p.len() {
                        2 => f64::from(other == basis),
                        _ if (other & basis).count_ones() % 2 == 1 => -1.0 / d.sqrt(),
                        _ => 1.0 / d.sqrt(),
                    };
                    x += entry * r * (d * p[other] - 1.0) / share;
                    by[other] += entry * r * d / share;
                }
            }
        }
    }
    (x, by)
}

fn held<R: Real>(map: &WeightMap, p: &[f64], gamma: f64, cotangent: &[f64], near: f64) {
    let cancel = Cancel::default();
    let narrow: Vec<_> = p.iter().map(|&value| R::from_f64(value)).collect();
    let wide: Vec<_> = narrow.iter().map(|value| value.to_f64()).collect();
    let (mut weights, mut by_p, mut by_gamma) = (Vec::new(), vec![0.0; p.len()], 0.0);
    for weight in 0..map.num_weights() {
        let ((x, slopes), s) = (read(map, &wide, weight), f64::from(map.signs()[weight]));
        let (tanh, c) = ((s * gamma * x).tanh(), cotangent[weight]);
        weights.push(gamma * tanh);
        let sech = (gamma * x).cosh().powi(-2);
        by_gamma += c * (tanh + gamma * s * x * sech);
        for (by, slope) in by_p.iter_mut().zip(slopes) {
            *by += c * gamma * gamma * s * sech * slope;
        }
    }
    let by: Vec<_> = cotangent.iter().map(|&value| R::from_f64(value)).collect();
    let size = by_p.iter().fold(1.0 + by_gamma.abs(), |size: f64, by| size.max(by.abs()));
    for level in Level::available() {
        let mut found = vec![R::default(); map.num_weights()];
        map.apply(level, &narrow, gamma, &mut found, &cancel).unwrap();
        let scale = gamma.max(1.0) * gamma.max(1.0) * p.len() as f64;
        assert!(off(&found, &weights) < near * scale, "weights");
        let mut pulled = vec![R::default(); p.len()];
        let least = 0.0;
        let turned = map.vjp(level, &narrow, gamma, &by, &mut pulled, least, &cancel).unwrap();
        assert!((turned - by_gamma).abs() < near * scale * size, "by gamma");
        assert!(off(&pulled, &by_p) < near * scale * size, "by probabilities");
        let scales = vec![R::from_f64(gamma); map.num_weights()];
        if scales[0].to_f64() == gamma {
            let mut each = vec![R::default(); map.num_weights()];
            map.apply_each(level, &narrow, &scales, &mut each, &cancel).unwrap();
            assert!(each == found, "a gamma each");
        }
    }
}

/// Every basis feeds one weight, but where a weight is alone.
fn whole(map: &WeightMap) {
    let bases = 1usize << map.num_qubits();
    assert_eq!(map.num_qubits(), qubits_for(map.num_weights() as u64));
    let mut fed = vec![0; bases];
    for (&first, &second) in map.first().iter().zip(map.second()) {
        fed[first as usize] += 1;
        fed[second as usize] += i32::from(first != second);
    }
    let alone = map.num_weights() == 1 && map.mapping() != Mapping::Paper;
    assert!(alone || fed.iter().all(|&count| count == 1));
    assert!(map.signs().iter().chain(map.basis_signs()).all(|sign| sign.abs() == 1));
}

/// Any map: refused, or whole and held against the definition.
pub fn maps(bytes: &[u8]) {
    let _ = maps_of(&mut Unstructured::new(bytes));
}

fn maps_of(bytes: &mut Unstructured<'_>) -> Made {
    let cancel = Cancel::default();
    let mapping = *bytes.choose(&MAPPINGS)?;
    let signs = if bytes.arbitrary()? { Signs::Parity } else { Signs::Random };
    let count: u64 = bytes.int_in_range(0..=70)?;
    let made = WeightMap::new(count, bytes.arbitrary()?, signs, mapping, &cancel);
    let Ok(drawn) = made else {
        assert_eq!(count, 0);
        return Ok(());
    };
    whole(&drawn);
    // Its arrays with a few entries changed, or as they are.
    let (mut first, mut second) = (drawn.first().to_vec(), drawn.second().to_vec());
    let (mut flags, mut r) = (drawn.signs().to_vec(), drawn.basis_signs().to_vec());
    let changes = bytes.int_in_range(0..=3)?;
    for _ in 0..changes {
        let place = bytes.choose_index(first.len())?;
        match bytes.int_in_range(0..=5)? {
            0 => first[place] = bytes.arbitrary::<u8>()?.into(),
            1 => second[place] = bytes.arbitrary()?,
            2 => flags[place] = bytes.arbitrary()?,
            3 => drop(first.pop()),
            4 => first.swap(0, place),
            _ => {
                if let Some(sign) = r.last_mut() {
                    *sign = bytes.arbitrary()?;
                }
            }
        }
    }
    let r = if r.is_empty() { None } else { Some(r) };
    let map = match WeightMap::from_arrays(first, second, flags, r, mapping, &cancel) {
        Ok(map) => map,
        Err(error) => {
            assert!(changes > 0, "{error}");
            return Ok(());
        }
    };
    whole(&map);
    let bases = 1usize << map.num_qubits();
    let p: Vec<f64> =
        (0..bases).map(|_| f64::from(bytes.arbitrary::<u8>().unwrap_or(7)) + 0.5).collect();
    let sum: f64 = p.iter().sum();
    let p: Vec<_> = p.iter().map(|value| value / sum).collect();
    let gamma = 0.01 + f64::from(bytes.arbitrary::<u8>().unwrap_or(99)) / 64.0;
    let cotangent: Vec<_> = (0..map.num_weights())
        .map(|_| f64::from(bytes.arbitrary::<i8>().unwrap_or(5)) / 64.0)
        .collect();
    held::<f64>(&map, &p, gamma, &cotangent, 1e-12);
    held::<f32>(&map, &p, gamma, &cotangent, 1e-4);
    Ok(())
}
