//! Counts: any distribution, any number of shots.

use arbitrary::Unstructured;
use qnnw::parallel::{self, Cancel};
use qnnw::sampling::{MAX_SHOTS, SUM_TOLERANCE, check_distribution, check_shots, sample_counts};

use crate::Made;

/// Deviations from what is expected that no luck explains: less than once in 10^30 draws.
const FAR: f64 = 13.0;

/// Any distribution: refused, or counts that it can have, the same for any number of threads.
pub fn counts(bytes: &[u8]) {
    let _ = counts_of(&mut Unstructured::new(bytes));
}

fn counts_of(bytes: &mut Unstructured<'_>) -> Made {
    let (seed, row): (u64, u64) = (bytes.arbitrary()?, bytes.arbitrary()?);
    let shots: u64 = match bytes.int_in_range(0..=2)? {
        0 => bytes.int_in_range(0..=300)?,
        1 => bytes.int_in_range(0..=1 << 20)?,
        _ => bytes.arbitrary()?,
    };
    let bins = match bytes.int_in_range(0..=3)? {
        0 => 1 << bytes.int_in_range(0..=13)?,
        1 => bytes.int_in_range(1..=2500)?,
        _ => bytes.int_in_range(1..=40)?,
    };
    let kind = bytes.int_in_range(0..=3)?;
    let mut p = vec![0.0f64; bins];
    for (place, p) in p.iter_mut().enumerate() {
        *p = match kind {
            0 => bytes.arbitrary::<u8>().unwrap_or((place % 7) as u8).into(),
            1 => f64::powi(2.0, -i32::from(bytes.arbitrary::<u8>().unwrap_or(place as u8))),
            2 => bytes.arbitrary::<f64>().unwrap_or(1.0).abs(),
            _ => f64::from(bytes.arbitrary::<u8>().unwrap_or(9) > 250),
        };
    }
    let sum: f64 = p.iter().sum();
    let off = f64::from(bytes.int_in_range(-2..=2).unwrap_or(0)) * SUM_TOLERANCE / 2.1;
    let p: Vec<_> = p.iter().map(|p| p / sum * (1.0 + off)).collect();
    let usable = p.iter().all(|p| p.is_finite()) && check_distribution(&p, SUM_TOLERANCE).is_ok();
    if check_shots(shots).is_err() || !usable {
        assert!(shots == 0 || shots > MAX_SHOTS || !usable);
        return Ok(());
    }
    let cancel = Cancel::default();
    let mut found = vec![-1; bins];
    sample_counts(&p, shots, seed, row, &mut found, &cancel).unwrap();
    assert!(found.iter().all(|&count| count >= 0));
    assert_eq!(found.iter().sum::<i64>(), shots as i64);
    let total: f64 = p.iter().sum();
    for (&count, &p) in found.iter().zip(&p) {
        let (mean, p) = (shots as f64 * p / total, p / total);
        assert!(p > 0.0 || count == 0, "an outcome without probability came {count} times");
        let far = FAR * (mean * (1.0 - p)).max(0.0).sqrt() + 3.0 * FAR + 1e-9 * mean;
        assert!((count as f64 - mean).abs() < far, "{count} of {shots} with probability {p}");
    }
    let before = parallel::num_threads();
    parallel::set_num_threads(3 - before.min(2)).unwrap();
    let mut again = vec![0; bins];
    sample_counts(&p, shots, seed, row, &mut again, &cancel).unwrap();
    parallel::set_num_threads(before).unwrap();
    assert!(found == again, "counts depend on the number of threads");
    Ok(())
}
