//! From amplitudes to what is asked for.

use num_complex::Complex64;

use crate::simd::multiversion;

#[inline(always)]
fn probabilities_body(out: &mut [f64], re: &[f64], im: &[f64]) {
    for ((out, re), im) in out.iter_mut().zip(re).zip(im) {
        *out = re * re + im * im;
    }
}

multiversion! {
    /// |amplitude|^2.
    pub fn probabilities = probabilities_body(out: &mut [f64], re: &[f64], im: &[f64])
}

#[inline(always)]
fn interleave_body(out: &mut [Complex64], re: &[f64], im: &[f64]) {
    for ((out, &re), &im) in out.iter_mut().zip(re).zip(im) {
        *out = Complex64::new(re, im);
    }
}

multiversion! {
    /// Real and imaginary parts as complex numbers.
    pub fn interleave = interleave_body(out: &mut [Complex64], re: &[f64], im: &[f64])
}
