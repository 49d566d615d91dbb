//! RY rotations of one plane (real or imaginary parts): RY is real, so the planes never mix.
//!
//! RY(theta) = [[c, -s], [s, c]] with c = cos(theta/2), s = sin(theta/2).

use crate::simd::multiversion;

/// Cosine and sine of half an angle.
#[derive(Debug, Clone, Copy)]
pub struct HalfAngle {
    /// cos(theta / 2)
    pub cos: f64,
    /// sin(theta / 2)
    pub sin: f64,
}

impl HalfAngle {
    /// Of the angle `theta`, radians.
    pub fn new(theta: f64) -> Self {
        let (sin, cos) = (0.5 * theta).sin_cos();
        Self { cos, sin }
    }

    #[inline(always)]
    fn rotate(self, zero: f64, one: f64) -> (f64, f64) {
        (self.cos * zero - self.sin * one, self.sin * zero + self.cos * one)
    }
}

/// One qubit whose partners are `lane ^ (1 << QUBIT)` in groups of eight.
#[inline(always)]
fn rotate_lanes<const QUBIT: usize>(lanes: [f64; 8], rotation: HalfAngle) -> [f64; 8] {
    std::array::from_fn(|lane| {
        let signed = if (lane >> QUBIT) & 1 == 0 { -rotation.sin } else { rotation.sin };
        rotation.cos * lanes[lane] + signed * lanes[lane ^ (1 << QUBIT)]
    })
}

/// Two qubits at once on four slices in the order 00, 01, 10, 11 of (upper, lower) qubit.
#[inline(always)]
fn rotate_four(parts: [&mut [f64]; 4], lower: HalfAngle, upper: HalfAngle) {
    let [p00, p01, p10, p11] = parts;
    let zipped = p00.iter_mut().zip(p01).zip(p10.iter_mut().zip(p11));
    for ((a, b), (c, d)) in zipped {
        let (a0, b0) = lower.rotate(*a, *b);
        let (c0, d0) = lower.rotate(*c, *d);
        (*a, *c) = upper.rotate(a0, c0);
        (*b, *d) = upper.rotate(b0, d0);
    }
}

#[inline(always)]
fn rotate_two(zeros: &mut [f64], ones: &mut [f64], rotation: HalfAngle) {
    for (zero, one) in zeros.iter_mut().zip(ones) {
        (*zero, *one) = rotation.rotate(*zero, *one);
    }
}

#[inline(always)]
fn tile_body(tile: &mut [f64], rotations: &[HalfAngle]) {
    debug_assert_eq!(tile.len(), 1 << rotations.len());
    let mut qubit = 0;
    if rotations.len() >= 3 {
        for lanes in tile.as_chunks_mut::<8>().0 {
            *lanes = rotate_lanes::<0>(*lanes, rotations[0]);
            *lanes = rotate_lanes::<1>(*lanes, rotations[1]);
            *lanes = rotate_lanes::<2>(*lanes, rotations[2]);
        }
        qubit = 3;
    }
    while qubit + 1 < rotations.len() {
        for group in tile.chunks_exact_mut(4 << qubit) {
            rotate_four(quarters(group), rotations[qubit], rotations[qubit + 1]);
        }
        qubit += 2;
    }
    if qubit < rotations.len() {
        for group in tile.chunks_exact_mut(2 << qubit) {
            let (zeros, ones) = group.split_at_mut(1 << qubit);
            rotate_two(zeros, ones, rotations[qubit]);
        }
    }
}

/// The four equal parts of a slice.
#[inline(always)]
pub fn quarters(group: &mut [f64]) -> [&mut [f64]; 4] {
    let (lower, upper) = group.split_at_mut(group.len() / 2);
    let (p00, p01) = lower.split_at_mut(lower.len() / 2);
    let (p10, p11) = upper.split_at_mut(upper.len() / 2);
    [p00, p01, p10, p11]
}

multiversion! {
    /// Rotates qubits 0 … `rotations.len() - 1` of a slice of just that many qubits.
    pub fn tile = tile_body(tile: &mut [f64], rotations: &[HalfAngle])
}
multiversion! {
    /// Rotates two qubits of four slices in the order 00, 01, 10, 11 of (upper, lower) qubit.
    pub fn pair_of_qubits = rotate_four(parts: [&mut [f64]; 4], lower: HalfAngle, upper: HalfAngle)
}
multiversion! {
    /// Rotates one qubit of two slices, its 0 half and its 1 half.
    pub fn one_qubit = rotate_two(zeros: &mut [f64], ones: &mut [f64], rotation: HalfAngle)
}
