//! What is fuzzed in the core: each target makes something of any bytes, and holds what comes out
//! against a slow, plain form of it. A panic is a fault.

mod circuits;
mod counts;
mod maps;

pub use circuits::{angles, programs};
pub use counts::counts;
pub use maps::maps;

/// The targets by name.
pub const ALL: [(&str, fn(&[u8])); 4] =
    [("programs", programs), ("angles", angles), ("maps", maps), ("counts", counts)];

/// Ends a target where the bytes do.
pub(crate) type Made<T = ()> = arbitrary::Result<T>;

/// A number of an angle's kind: anything finite, special multiples of a quarter turn among them.
pub(crate) fn angle(bytes: &mut arbitrary::Unstructured<'_>) -> Made<f64> {
    Ok(match bytes.int_in_range(0..=3)? {
        0 => f64::from(bytes.int_in_range(-9..=9)?) * std::f64::consts::FRAC_PI_2,
        1 => f64::from(bytes.arbitrary::<i32>()?) / f64::from(1 << 28),
        2 => bytes.arbitrary::<i16>()?.into(),
        _ => {
            let any = bytes.arbitrary::<f64>()?;
            if any.is_finite() && any.abs() < 1e6 { any } else { 0.0 }
        }
    })
}

/// The largest difference.
pub(crate) fn off<R: qnnw::simd::Real>(found: &[R], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let pairs = found.iter().zip(wanted);
    pairs.fold(0.0, |worst: f64, (a, b)| {
        let by = (a.to_f64() - b).abs();
        if by.is_nan() { f64::INFINITY } else { worst.max(by) }
    })
}
