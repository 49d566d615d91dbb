//! A block of CNOTs and the RZ layer before it, in one pass out of place.

use crate::ansatz::Entangler;
use crate::kernels::phase::Diagonal;
use crate::simd::multiversion;
use crate::state::Planes;

#[inline(always)]
fn gather_body(
    new_re: &mut [f64],
    new_im: &mut [f64],
    high_index: usize,
    old: &Planes,
    entangler: &Entangler,
    diagonal: &Diagonal,
) {
    let low_size = diagonal.low.len();
    let split = low_size.trailing_zeros();
    let mask = low_size as u32 - 1;
    let high_source = entangler.high()[high_index];
    let (old_re, old_im) = (&old.re[..], &old.im[..]);
    for ((re, im), &low_source) in new_re.iter_mut().zip(new_im).zip(entangler.low()) {
        let source = high_source ^ low_source;
        let factor =
            diagonal.low[(source & mask) as usize] * diagonal.high[(source >> split) as usize];
        let (a, b) = (old_re[source as usize], old_im[source as usize]);
        *re = a * factor.re - b * factor.im;
        *im = a * factor.im + b * factor.re;
    }
}

multiversion! {
    /// Writes the new amplitudes of one value of the high bits: each is the old amplitude at its
    /// source, times the source's RZ factor.
    pub fn gather = gather_body(
        new_re: &mut [f64],
        new_im: &mut [f64],
        high_index: usize,
        old: &Planes,
        entangler: &Entangler,
        diagonal: &Diagonal,
    )
}
