//! Vectors of AVX2 and FMA: 256 bits.

use std::arch::x86_64::*;

use super::x86::{instructions, memory, registers};
use super::{Cpu, Lanes};

/// Four double-precision lanes.
#[derive(Clone, Copy)]
pub struct F64x4(__m256d);

/// Eight single-precision lanes.
#[derive(Clone, Copy)]
pub struct F32x8(__m256);

/// Exchanges the 128-bit halves.
///
/// The intrinsic ends as VPERMPD, which AMD's cores split in two; this stays one operation.
#[inline]
#[target_feature(enable = "avx2")]
fn swap_halves(x: __m256d) -> __m256d {
    let swapped;
    // SAFETY: the instruction reads and writes registers alone.
    unsafe {
        std::arch::asm!(
            "vperm2f128 {swapped}, {x}, {x}, 1",
            swapped = lateout(ymm_reg) swapped,
            x = in(ymm_reg) x,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    swapped
}

impl Lanes for F64x4 {
    memory!(f64, __m256i, _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_loadu_si256);

    const BITS: usize = 2;

    instructions! { F64x4, "avx2,fma";
        add(other) = _mm256_add_pd;
        sub(other) = _mm256_sub_pd;
        mul(other) = _mm256_mul_pd;
        div(other) = _mm256_div_pd;
        mul_add(factor, summand) = _mm256_fmadd_pd;
        neg_mul_add(factor, summand) = _mm256_fnmadd_pd;
        min(other) = _mm256_min_pd;
    }

    #[inline(always)]
    fn index_words(sources: &[u8]) -> [u32; 16] {
        // Lanes move as pairs of 32 bits: AVX2 has no run-time permutation of 64-bit lanes.
        std::array::from_fn(|half| 2 * u32::from(sources[half / 2 % 4]) + half as u32 % 2)
    }
    #[inline(always)]
    fn rotate(a: Self, b: Self, tangent: Self) -> (Self, Self) {
        // One fused operation, not two: on AMD's cores a store takes the third operand's way of a
        // fused multiply-add (Zen 3, three qubits of eight lines: 10.7 ns all fused, 8.2 like this).
        (a.sub(b.mul(tangent)), a.mul_add(tangent, b))
    }
    #[inline(always)]
    fn permute_ladder<const FLIP: bool>(self, _index: __m256i) -> Self {
        // 0 3 2 1, or 1 2 3 0: cheaper than a run-time permutation on AMD's cores.
        let near = if FLIP { self.swap(0) } else { self };
        near.merge(near.swap(1), 0)
    }
    registers! { F64x4, "avx2,fma";
        fn permute(x: F64x4, index: __m256i) -> F64x4 {
            let moved = _mm256_permutevar8x32_ps(_mm256_castpd_ps(x.0), index);
            F64x4(_mm256_castps_pd(moved))
        }
        fn round(x: F64x4) -> F64x4 {
            F64x4(_mm256_round_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x.0))
        }
        fn exp2_integer(x: F64x4) -> F64x4 {
            let exponent = _mm256_cvtepi32_epi64(_mm256_cvtpd_epi32(x.0));
            let biased = _mm256_add_epi64(exponent, _mm256_set1_epi64x(1023));
            F64x4(_mm256_castsi256_pd(_mm256_slli_epi64::<52>(biased)))
        }
        fn abs(x: F64x4) -> F64x4 {
            F64x4(_mm256_andnot_pd(_mm256_set1_pd(-0.0), x.0))
        }
        fn copysign(x: F64x4, sign: F64x4) -> F64x4 {
            let mask = _mm256_set1_pd(-0.0);
            F64x4(_mm256_or_pd(_mm256_and_pd(mask, sign.0), _mm256_andnot_pd(mask, x.0)))
        }
        fn swap(x: F64x4, bit: usize) -> F64x4 {
            F64x4(match bit {
                0 => _mm256_permute_pd::<0b0101>(x.0),
                _ => swap_halves(x.0),
            })
        }
        fn merge(x: F64x4, other: F64x4, bit: usize) -> F64x4 {
            F64x4(match bit {
                0 => _mm256_blend_pd::<0b1010>(x.0, other.0),
                _ => _mm256_blend_pd::<0b1100>(x.0, other.0),
            })
        }
    }
}

impl Lanes for F32x8 {
    memory!(f32, __m256i, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_loadu_si256);

    const BITS: usize = 3;

    instructions! { F32x8, "avx2,fma";
        add(other) = _mm256_add_ps;
        sub(other) = _mm256_sub_ps;
        mul(other) = _mm256_mul_ps;
        div(other) = _mm256_div_ps;
        mul_add(factor, summand) = _mm256_fmadd_ps;
        neg_mul_add(factor, summand) = _mm256_fnmadd_ps;
        min(other) = _mm256_min_ps;
    }

    #[inline(always)]
    fn index_words(sources: &[u8]) -> [u32; 16] {
        std::array::from_fn(|lane| u32::from(sources[lane % 8]))
    }
    #[inline(always)]
    fn rotate(a: Self, b: Self, tangent: Self) -> (Self, Self) {
        // As in double precision.
        (a.sub(b.mul(tangent)), a.mul_add(tangent, b))
    }
    registers! { F32x8, "avx2,fma";
        fn permute(x: F32x8, index: __m256i) -> F32x8 {
            F32x8(_mm256_permutevar8x32_ps(x.0, index))
        }
        fn round(x: F32x8) -> F32x8 {
            F32x8(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x.0))
        }
        fn exp2_integer(x: F32x8) -> F32x8 {
            let exponent = _mm256_cvtps_epi32(x.0);
            let biased = _mm256_add_epi32(exponent, _mm256_set1_epi32(127));
            F32x8(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased)))
        }
        fn abs(x: F32x8) -> F32x8 {
            F32x8(_mm256_andnot_ps(_mm256_set1_ps(-0.0), x.0))
        }
        fn copysign(x: F32x8, sign: F32x8) -> F32x8 {
            let mask = _mm256_set1_ps(-0.0);
            F32x8(_mm256_or_ps(_mm256_and_ps(mask, sign.0), _mm256_andnot_ps(mask, x.0)))
        }
        fn swap(x: F32x8, bit: usize) -> F32x8 {
            F32x8(match bit {
                0 => _mm256_permute_ps::<0b10_11_00_01>(x.0),
                1 => _mm256_permute_ps::<0b01_00_11_10>(x.0),
                _ => _mm256_castpd_ps(swap_halves(_mm256_castps_pd(x.0))),
            })
        }
        fn merge(x: F32x8, other: F32x8, bit: usize) -> F32x8 {
            F32x8(match bit {
                0 => _mm256_blend_ps::<0b1010_1010>(x.0, other.0),
                1 => _mm256_blend_ps::<0b1100_1100>(x.0, other.0),
                _ => _mm256_blend_ps::<0b1111_0000>(x.0, other.0),
            })
        }
    }
}
