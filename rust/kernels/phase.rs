//! RZ rotations of all qubits at once: one diagonal, kept as two small tables.
//!
//! RZ(phi) = diag(exp(-i phi/2), exp(+i phi/2)); the factor at basis index i is the product of
//! the entry for its low bits and the entry for its high bits.

use num_complex::Complex64;

use crate::ansatz::low_bits;
use crate::simd::multiversion;

/// The diagonal of a layer of RZ rotations.
#[derive(Debug, Default)]
pub struct Diagonal {
    /// Factors by the low bits of the index.
    pub low: Vec<Complex64>,
    /// Factors by the high bits of the index.
    pub high: Vec<Complex64>,
}

impl Diagonal {
    /// Fills the tables for the angles of all qubits, radians.
    pub fn fill(&mut self, angles: &[f64]) {
        let (low, high) = angles.split_at(low_bits(angles.len()));
        fill_table(&mut self.low, low);
        fill_table(&mut self.high, high);
    }
}

fn fill_table(table: &mut Vec<Complex64>, angles: &[f64]) {
    table.clear();
    table.push(Complex64::ONE);
    for &angle in angles {
        let (sin, cos) = (0.5 * angle).sin_cos();
        let one = Complex64::new(cos, sin);
        let known = table.len();
        for index in 0..known {
            table.push(table[index] * one);
        }
        for entry in &mut table[..known] {
            *entry *= one.conj();
        }
    }
}

#[inline(always)]
fn apply_body(re: &mut [f64], im: &mut [f64], low: &[Complex64], high: Complex64) {
    for ((re, im), &low) in re.iter_mut().zip(im).zip(low) {
        let rotated = Complex64::new(*re, *im) * (low * high);
        *re = rotated.re;
        *im = rotated.im;
    }
}

multiversion! {
    /// Multiplies the amplitudes of one value of the high bits by their factors.
    pub fn apply = apply_body(re: &mut [f64], im: &mut [f64], low: &[Complex64], high: Complex64)
}
