//! Weight maps: what they read, and what is refused.

use super::*;

#[test]
fn every_basis_feeds_one_weight() {
    let cancel = Cancel::default();
    for weights in [1, 2, 3, 4, 5, 7, 8, 9, 131, 6690, 8191, 8192, 8193] {
        let map = WeightMap::new(weights, 5, Signs::Parity, Mapping::Paper, &cancel).unwrap();
        let doubled = map.first.iter().zip(&map.second).filter(|(a, b)| a != b).count() as u64;
        assert_eq!(doubled, (1 << map.num_qubits) - weights);
        let copy = WeightMap::from_arrays(
            map.first.clone(),
            map.second.clone(),
            map.signs.clone(),
            None,
            map.mapping,
            &cancel,
        );
        assert_eq!(copy.unwrap(), map);
    }
}

#[test]
fn one_weight_is_fed_by_one_basis() {
    let cancel = Cancel::default();
    let (mut seen, signs) = ([false; 2], Signs::Parity);
    for seed in 0..20 {
        let map = WeightMap::new(1, seed, signs, Mapping::Centered, &cancel).unwrap();
        assert_eq!(map.first, map.second);
        seen[map.first[0] as usize] = true;
        let paper = WeightMap::new(1, seed, signs, Mapping::Paper, &cancel).unwrap();
        assert_eq!((paper.first[0], paper.second[0]), (map.first[0], 1 - map.first[0]));
        let copy = |second| {
            let arrays = (vec![map.first[0]], vec![second], vec![-1]);
            let mapping = Mapping::Centered;
            WeightMap::from_arrays(arrays.0, arrays.1, arrays.2, None, mapping, &cancel)
        };
        assert_eq!(copy(map.first[0]).unwrap(), map);
        assert!(copy(1 - map.first[0]).unwrap_err().to_string().contains("0 for ever"));
    }
    assert_eq!(seen, [true; 2]);
}

#[test]
fn broken_maps_are_refused() {
    let from = |first: &[u32], second: &[u32]| {
        let (signs, cancel) = (vec![1; first.len()], Cancel::default());
        let (first, second) = (first.to_vec(), second.to_vec());
        WeightMap::from_arrays(first, second, signs, None, Mapping::Paper, &cancel)
            .unwrap_err()
            .to_string()
    };
    assert!(from(&[0, 1, 1], &[0, 1, 3]).contains("`first` has the basis 1 again"));
    assert!(from(&[0, 1, 2], &[0, 1, 2]).contains("leaves out the basis 3"));
    assert!(from(&[0, 1, 4], &[0, 1, 3]).contains("`first` has the entry 4"));
    assert!(from(&[0, 1], &[0]).contains("`second` has length 1"));
}

#[test]
fn signs_of_bases_are_no_row_of_the_transform() {
    let cancel = Cancel::default();
    for weights in [3u64, 4, 7, 8, 16] {
        for seed in 0..200 {
            let map = WeightMap::new(weights, seed, Signs::Parity, Mapping::Hadamard, &cancel);
            let signs = map.unwrap().basis_signs;
            for row in 0..signs.len() {
                let entry = |basis: usize| 1 - 2 * ((basis & row).count_ones() % 2) as i32;
                let along = (0..signs.len()).map(|basis| entry(basis) * i32::from(signs[basis]));
                assert!((along.sum::<i32>().unsigned_abs() as usize) < signs.len());
            }
        }
    }
    assert!(is_walsh_row(&[-1, 1, 1, -1]) && !is_walsh_row(&[-1, 1, 1, 1]));
}
