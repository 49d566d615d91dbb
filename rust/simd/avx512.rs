//! Vectors of AVX-512 F and DQ: 512 bits.

use std::arch::x86_64::*;

use super::x86::{instructions, memory, registers};
use super::{Cpu, Lanes};

/// Eight double-precision lanes.
#[derive(Clone, Copy)]
pub struct F64x8(__m512d);

/// Sixteen single-precision lanes.
#[derive(Clone, Copy)]
pub struct F32x16(__m512);

impl Lanes for F64x8 {
    memory!(f64, __m512i, _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_loadu_si512);

    const BITS: usize = 3;

    instructions! { F64x8, "avx512f,avx512dq,avx2,fma";
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
    registers! { F64x8, "avx512f,avx512dq,avx2,fma";
        fn permute(x: F64x8, index: __m512i) -> F64x8 {
            F64x8(_mm512_permutexvar_pd(index, x.0))
        }
        fn round(x: F64x8) -> F64x8 {
            let nearest =
                _mm512_roundscale_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x.0);
            F64x8(nearest)
        }
        fn exp2_integer(x: F64x8) -> F64x8 {
            let exponent = _mm512_cvtpd_epi64(x.0);
            let biased = _mm512_add_epi64(exponent, _mm512_set1_epi64(1023));
            F64x8(_mm512_castsi512_pd(_mm512_slli_epi64::<52>(biased)))
        }
        fn copysign(x: F64x8, sign: F64x8) -> F64x8 {
            let mask = _mm512_set1_pd(-0.0);
            F64x8(_mm512_or_pd(_mm512_and_pd(mask, sign.0), _mm512_andnot_pd(mask, x.0)))
        }
        fn swap(x: F64x8, bit: usize) -> F64x8 {
            F64x8(match bit {
                0 => _mm512_permute_pd::<0b0101_0101>(x.0),
                1 => _mm512_permutex_pd::<0b01_00_11_10>(x.0),
                _ => _mm512_shuffle_f64x2::<0b01_00_11_10>(x.0, x.0),
            })
        }
        fn merge(x: F64x8, other: F64x8, bit: usize) -> F64x8 {
            let mask = match bit {
                0 => 0b1010_1010,
                1 => 0b1100_1100,
                _ => 0b1111_0000,
            };
            F64x8(_mm512_mask_blend_pd(mask, x.0, other.0))
        }
    }
}

impl Lanes for F32x16 {
    memory!(f32, __m512i, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_loadu_si512);

    const BITS: usize = 4;

    instructions! { F32x16, "avx512f,avx512dq,avx2,fma";
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
    registers! { F32x16, "avx512f,avx512dq,avx2,fma";
        fn permute(x: F32x16, index: __m512i) -> F32x16 {
            F32x16(_mm512_permutexvar_ps(index, x.0))
        }
        fn round(x: F32x16) -> F32x16 {
            let nearest =
                _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x.0);
            F32x16(nearest)
        }
        fn exp2_integer(x: F32x16) -> F32x16 {
            let exponent = _mm512_cvtps_epi32(x.0);
            let biased = _mm512_add_epi32(exponent, _mm512_set1_epi32(127));
            F32x16(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased)))
        }
        fn copysign(x: F32x16, sign: F32x16) -> F32x16 {
            let mask = _mm512_set1_ps(-0.0);
            F32x16(_mm512_or_ps(_mm512_and_ps(mask, sign.0), _mm512_andnot_ps(mask, x.0)))
        }
        fn swap(x: F32x16, bit: usize) -> F32x16 {
            F32x16(match bit {
                0 => _mm512_permute_ps::<0b10_11_00_01>(x.0),
                1 => _mm512_permute_ps::<0b01_00_11_10>(x.0),
                2 => _mm512_shuffle_f32x4::<0b10_11_00_01>(x.0, x.0),
                _ => _mm512_shuffle_f32x4::<0b01_00_11_10>(x.0, x.0),
            })
        }
        fn merge(x: F32x16, other: F32x16, bit: usize) -> F32x16 {
            let mask = match bit {
                0 => 0b1010_1010_1010_1010,
                1 => 0b1100_1100_1100_1100,
                2 => 0b1111_0000_1111_0000,
                _ => 0b1111_1111_0000_0000,
            };
            F32x16(_mm512_mask_blend_ps(mask, x.0, other.0))
        }
    }
}
