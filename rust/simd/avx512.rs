//! Vectors of AVX-512 F and DQ: 512 bits.

use std::arch::x86_64::*;

use super::Lanes;
use super::x86::{instructions, memory};

/// Eight double-precision lanes.
#[derive(Clone, Copy)]
pub struct F64x8(__m512d);

/// Sixteen single-precision lanes.
#[derive(Clone, Copy)]
pub struct F32x16(__m512);

impl Lanes for F64x8 {
    memory!(f64, __m512i, _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_loadu_si512);

    const BITS: usize = 3;

    instructions! {
        add(other) = _mm512_add_pd;
        sub(other) = _mm512_sub_pd;
        mul(other) = _mm512_mul_pd;
        div(other) = _mm512_div_pd;
        mul_add(factor, summand) = _mm512_fmadd_pd;
        neg_mul_add(factor, summand) = _mm512_fnmadd_pd;
        min(other) = _mm512_min_pd;
        abs() = _mm512_abs_pd;
    }

    #[inline(always)]
    fn index_words(sources: &[u8]) -> [u32; 16] {
        // 64-bit lane numbers, the lower half first.
        std::array::from_fn(|half| if half % 2 == 0 { u32::from(sources[half / 2]) } else { 0 })
    }
    #[inline(always)]
    fn permute(self, index: __m512i) -> Self {
        // SAFETY: a value of this type is proof of the instructions.
        unsafe { Self(_mm512_permutexvar_pd(index, self.0)) }
    }
    #[inline(always)]
    fn round(self) -> Self {
        // SAFETY: a value of this type is proof of the instructions.
        unsafe {
            let nearest =
                _mm512_roundscale_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0);
            Self(nearest)
        }
    }
    #[inline(always)]
    fn exp2_integer(self) -> Self {
        // SAFETY: a value of this type is proof of the instructions.
        unsafe {
            let exponent = _mm512_cvtpd_epi64(self.0);
            let biased = _mm512_add_epi64(exponent, _mm512_set1_epi64(1023));
            Self(_mm512_castsi512_pd(_mm512_slli_epi64::<52>(biased)))
        }
    }
    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        // SAFETY: a value of this type is proof of the instructions.
        unsafe {
            let mask = _mm512_set1_pd(-0.0);
            Self(_mm512_or_pd(_mm512_and_pd(mask, sign.0), _mm512_andnot_pd(mask, self.0)))
        }
    }
    #[inline(always)]
    fn swap(self, bit: usize) -> Self {
        // SAFETY: a value of this type is proof of the instructions.
        unsafe {
            Self(match bit {
                0 => _mm512_permute_pd::<0b0101_0101>(self.0),
                1 => _mm512_permutex_pd::<0b01_00_11_10>(self.0),
                _ => _mm512_shuffle_f64x2::<0b01_00_11_10>(self.0, self.0),
            })
        }
    }
    #[inline(always)]
    fn merge(self, other: Self, bit: usize) -> Self {
        // SAFETY: a value of this type is proof of the instructions.
        unsafe {
            let mask = match bit {
                0 => 0b1010_1010,
                1 => 0b1100_1100,
                _ => 0b1111_0000,
            };
            Self(_mm512_mask_blend_pd(mask, self.0, other.0))
        }
    }
}

impl Lanes for F32x16 {
    memory!(f32, __m512i, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_loadu_si512);

    const BITS: usize = 4;

    instructions! {
        add(other) = _mm512_add_ps;
        sub(other) = _mm512_sub_ps;
        mul(other) = _mm512_mul_ps;
        div(other) = _mm512_div_ps;
        mul_add(factor, summand) = _mm512_fmadd_ps;
        neg_mul_add(factor, summand) = _mm512_fnmadd_ps;
        min(other) = _mm512_min_ps;
        abs() = _mm512_abs_ps;
    }

    #[inline(always)]
    fn index_words(sources: &[u8]) -> [u32; 16] {
        std::array::from_fn(|lane| u32::from(sources[lane]))
    }
    #[inline(always)]
    fn permute(self, index: __m512i) -> Self {
        // SAFETY: a value of this type is proof of the instructions.
        unsafe { Self(_mm512_permutexvar_ps(index, self.0)) }
    }
    #[inline(always)]
    fn round(self) -> Self {
        // SAFETY: a value of this type is proof of the instructions.
        unsafe {
            let nearest =
                _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0);
            Self(nearest)
        }
    }
    #[inline(always)]
    fn exp2_integer(self) -> Self {
        // SAFETY: a value of this type is proof of the instructions.
        unsafe {
            let exponent = _mm512_cvtps_epi32(self.0);
            let biased = _mm512_add_epi32(exponent, _mm512_set1_epi32(127));
            Self(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased)))
        }
    }
    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        // SAFETY: a value of this type is proof of the instructions.
        unsafe {
            let mask = _mm512_set1_ps(-0.0);
            Self(_mm512_or_ps(_mm512_and_ps(mask, sign.0), _mm512_andnot_ps(mask, self.0)))
        }
    }
    #[inline(always)]
    fn swap(self, bit: usize) -> Self {
        // SAFETY: a value of this type is proof of the instructions.
        unsafe {
            Self(match bit {
                0 => _mm512_permute_ps::<0b10_11_00_01>(self.0),
                1 => _mm512_permute_ps::<0b01_00_11_10>(self.0),
                2 => _mm512_shuffle_f32x4::<0b10_11_00_01>(self.0, self.0),
                _ => _mm512_shuffle_f32x4::<0b01_00_11_10>(self.0, self.0),
            })
        }
    }
    #[inline(always)]
    fn merge(self, other: Self, bit: usize) -> Self {
        // SAFETY: a value of this type is proof of the instructions.
        unsafe {
            let mask = match bit {
                0 => 0b1010_1010_1010_1010,
                1 => 0b1100_1100_1100_1100,
                2 => 0b1111_0000_1111_0000,
                _ => 0b1111_1111_0000_0000,
            };
            Self(_mm512_mask_blend_ps(mask, self.0, other.0))
        }
    }
}
