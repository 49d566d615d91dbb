//! Vectors of 128 bits in plain Rust: what the compiler makes of them on the target's baseline.

use super::{Cpu, Lanes, Real};

/// Two double-precision lanes.
#[derive(Clone, Copy)]
#[repr(align(16))]
pub struct F64x2([f64; 2]);

/// Four single-precision lanes.
#[derive(Clone, Copy)]
#[repr(align(16))]
pub struct F32x4([f32; 4]);

/// Whether `mul_add` is one instruction of the baseline; a call of the C library would be slow.
const FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

macro_rules! portable {
    ($vector:ident, $real:ident, $bits:literal, $mantissa:literal, $bias:literal) => {
        impl $vector {
            #[inline(always)]
            fn zip(self, other: Self, with: impl Fn($real, $real) -> $real) -> Self {
                Self(std::array::from_fn(
                    #[inline(always)]
                    |lane| with(self.0[lane], other.0[lane]),
                ))
            }

            #[inline(always)]
            fn map(self, with: impl Fn($real) -> $real) -> Self {
                Self(self.0.map(with))
            }
        }

        impl Lanes for $vector {
            type Real = $real;
            type Index = [u8; 1 << $bits];
            const BITS: usize = $bits;

            #[inline(always)]
            fn splat(_: Cpu<Self>, value: $real) -> Self {
                Self([value; 1 << $bits])
            }
            #[inline(always)]
            unsafe fn load(_: Cpu<Self>, from: *const $real) -> Self {
                // SAFETY: all lanes may be read, says the caller.
                unsafe { Self(from.cast::<[$real; 1 << $bits]>().read_unaligned()) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $real) {
                // SAFETY: all lanes may be written, says the caller.
                unsafe { to.cast::<[$real; 1 << $bits]>().write_unaligned(self.0) }
            }
            #[inline(always)]
            fn index_words(sources: &[u8]) -> [u32; 16] {
                std::array::from_fn(|lane| u32::from(sources[lane % (1 << $bits)]))
            }
            #[inline(always)]
            fn load_index(_: Cpu<Self>, words: &[u32; 16]) -> Self::Index {
                std::array::from_fn(|lane| words[lane] as u8)
            }
            #[inline(always)]
            fn permute(self, index: Self::Index) -> Self {
                Self(index.map(|lane| self.0[lane as usize % (1 << $bits)]))
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self.zip(other, |a, b| a + b)
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                self.zip(other, |a, b| a - b)
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                self.zip(other, |a, b| a * b)
            }
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                self.zip(other, |a, b| a / b)
            }
            #[inline(always)]
            fn mul_add(self, factor: Self, summand: Self) -> Self {
                Self(std::array::from_fn(
                    #[inline(always)]
                    |lane| {
                        if FUSED {
                            self.0[lane].mul_add(factor.0[lane], summand.0[lane])
                        } else {
                            self.0[lane] * factor.0[lane] + summand.0[lane]
                        }
                    },
                ))
            }
            #[inline(always)]
            fn neg_mul_add(self, factor: Self, summand: Self) -> Self {
                self.map(|x| -x).mul_add(factor, summand)
            }
            #[inline(always)]
            fn round(self) -> Self {
                // Adding and taking 1.5 * 2^mantissa away leaves no room for a fraction; a call of
                // the C library, which the baseline of x86-64 needs, would be slow.
                let shift = 1.5 * (1u64 << $mantissa) as $real;
                self.map(|x| (x + shift) - shift)
            }
            #[inline(always)]
            fn exp2_integer(self) -> Self {
                // The sum's low bits are the biased exponent, as an integer; the shift leaves only them.
                let shift = 1.5 * (1u64 << $mantissa) as $real + $bias as $real;
                self.map(|x| $real::from_bits((x + shift).to_bits() << $mantissa))
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                self.zip(other, |a, b| if a < b { a } else { b })
            }
            #[inline(always)]
            fn abs(self) -> Self {
                self.map($real::abs)
            }
            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                self.zip(sign, $real::copysign)
            }
            #[inline(always)]
            fn swap(self, bit: usize) -> Self {
                Self(std::array::from_fn(
                    #[inline(always)]
                    |lane| self.0[lane ^ (1 << bit)],
                ))
            }
            #[inline(always)]
            fn merge(self, other: Self, bit: usize) -> Self {
                Self(std::array::from_fn(
                    #[inline(always)]
                    |lane| if (lane >> bit) & 1 == 0 { self.0[lane] } else { other.0[lane] },
                ))
            }
        }
    };
}

portable!(F64x2, f64, 1, 52, 1023);
portable!(F32x4, f32, 2, 23, 127);

impl Real for f64 {
    type Portable = F64x2;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = super::avx2::F64x4;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = super::avx512::F64x8;

    const LEAST: Self = f64::MIN_POSITIVE;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }
}

impl Real for f32 {
    type Portable = F32x4;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = super::avx2::F32x8;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = super::avx512::F32x16;

    const LEAST: Self = f32::MIN_POSITIVE;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }
}
