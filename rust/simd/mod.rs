//! Instruction-set levels: found once at run time, handed to every kernel.
//!
//! A kernel is written once, over the trait [`Lanes`], and compiled once per level by
//! [`Level::run`]. Levels with fused multiply-adds round once where the portable one on x86-64
//! rounds twice, so levels agree to rounding; on one level, results are the same bits always.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod math;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// The environment variable that forces a level.
pub const VARIABLE: &str = "QNNW_SIMD";

/// Most lanes of a vector.
pub const MAX_LANES: usize = 16;

/// What the processor can do, as far as the kernels make use of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The target's baseline, in vectors of 128 bits.
    Portable,
    /// x86-64 with AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(Proof),
    /// x86-64 with AVX-512 F and DQ.
    #[cfg(target_arch = "x86_64")]
    Avx512(Proof),
}

/// Proof that the processor has a level: only [`Level::available`] makes one.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof(());

/// A precision of the core, and its vectors at every level.
pub trait Real:
    Copy
    + Debug
    + Default
    + PartialEq
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + MulAssign
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// Vectors of the portable level.
    type Portable: Lanes<Real = Self>;
    /// Vectors of AVX2.
    #[cfg(target_arch = "x86_64")]
    type Avx2: Lanes<Real = Self>;
    /// Vectors of AVX-512.
    #[cfg(target_arch = "x86_64")]
    type Avx512: Lanes<Real = Self>;

    /// The least normal number.
    const LEAST: Self;

    /// The nearest number of this precision.
    fn from_f64(value: f64) -> Self;
    /// The number in double precision.
    fn to_f64(self) -> f64;
    /// The square root, rounded to the nearest.
    fn sqrt(self) -> Self;
}

/// Proof that the processor has the instructions of `V`: [`Level::run`] alone makes one.
#[derive(Debug)]
pub struct Cpu<V>(PhantomData<V>);

impl<V> Clone for Cpu<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Cpu<V> {}

/// A vector of numbers, lane 0 first.
///
/// Values come from a [`Cpu`] alone; so whoever holds one may use all other methods.
pub trait Lanes: Copy {
    /// The precision.
    type Real: Real;
    /// A prepared permutation of lanes.
    type Index: Copy;
    /// Number of lanes, as a power of two: 2^BITS.
    const BITS: usize;
    /// Number of lanes.
    const COUNT: usize = {
        assert!(Self::BITS <= MAX_LANES.ilog2() as usize);
        1 << Self::BITS
    };

    /// The proof that a value is.
    #[inline(always)]
    fn cpu(self) -> Cpu<Self> {
        Cpu(PhantomData)
    }
    /// The number in every lane.
    fn splat(cpu: Cpu<Self>, value: Self::Real) -> Self;
    /// Lanes from memory, at any alignment.
    ///
    /// # Safety
    /// `from` may be read for all lanes.
    unsafe fn load(cpu: Cpu<Self>, from: *const Self::Real) -> Self;
    /// Lanes to memory, at any alignment.
    ///
    /// # Safety
    /// `to` may be written for all lanes.
    unsafe fn store(self, to: *mut Self::Real);
    /// The first lanes of a slice.
    #[inline(always)]
    fn read(cpu: Cpu<Self>, from: &[Self::Real]) -> Self {
        let from = &from[..Self::COUNT];
        // SAFETY: the slice has all lanes.
        unsafe { Self::load(cpu, from.as_ptr()) }
    }
    /// Lanes to the start of a slice.
    #[inline(always)]
    fn write(self, to: &mut [Self::Real]) {
        let to = &mut to[..Self::COUNT];
        // SAFETY: the slice has all lanes.
        unsafe { self.store(to.as_mut_ptr()) }
    }
    /// The lanes, and zeros up to 16: no vector has more.
    #[inline(always)]
    fn lanes(self) -> [Self::Real; MAX_LANES] {
        let mut lanes = [Self::Real::default(); MAX_LANES];
        self.write(&mut lanes);
        lanes
    }
    /// Prepares the permutation that takes lane `sources[l]` to lane l, as words for
    /// [`Lanes::load_index`].
    fn index_words(sources: &[u8]) -> [u32; 16];
    /// A permutation from its words, those of `index_words`.
    fn load_index(cpu: Cpu<Self>, words: &[u32; 16]) -> Self::Index;
    /// Moves lanes by a prepared permutation.
    fn permute(self, index: Self::Index) -> Self;
    /// The lane permutation of a ladder of CNOTs, prepared as `index`: lane l from `l ^ (l << 1)`,
    /// and from there `^ 1` with `FLIP`.
    #[inline(always)]
    fn permute_ladder<const FLIP: bool>(self, index: Self::Index) -> Self {
        self.permute(index)
    }
    /// Lane by lane sum.
    fn add(self, other: Self) -> Self;
    /// Lane by lane difference.
    fn sub(self, other: Self) -> Self;
    /// Lane by lane product.
    fn mul(self, other: Self) -> Self;
    /// Lane by lane quotient.
    fn div(self, other: Self) -> Self;
    /// `self * factor + summand`.
    fn mul_add(self, factor: Self, summand: Self) -> Self;
    /// `summand - self * factor`.
    fn neg_mul_add(self, factor: Self, summand: Self) -> Self;
    /// RY in tangent form on the amplitudes of |0> and |1>: `(a - t b, b + t a)`.
    #[inline(always)]
    fn rotate(a: Self, b: Self, tangent: Self) -> (Self, Self) {
        (b.neg_mul_add(tangent, a), a.mul_add(tangent, b))
    }
    /// The complex product `(re + i im)(cos + i sin)`.
    #[inline(always)]
    fn turn(re: Self, im: Self, cos: Self, sin: Self) -> (Self, Self) {
        (im.neg_mul_add(sin, re.mul(cos)), re.mul_add(sin, im.mul(cos)))
    }
    /// The nearest integers, ties to even.
    fn round(self) -> Self;
    /// 2^self for integers from -1000 to 1000 (f32: from -120 to 120).
    fn exp2_integer(self) -> Self;
    /// The lesser of each pair of lanes.
    fn min(self, other: Self) -> Self;
    /// Magnitudes.
    fn abs(self) -> Self;
    /// Magnitudes of `self` with the signs of `sign`.
    fn copysign(self, sign: Self) -> Self;
    /// Exchanges lanes l and l ^ 2^bit.
    fn swap(self, bit: usize) -> Self;
    /// Lanes whose index has `bit` clear from `self`, the others from `other`.
    fn merge(self, other: Self, bit: usize) -> Self;

    /// The sum of all lanes, halves added to halves.
    #[inline(always)]
    fn sum(mut self) -> Self::Real {
        let mut bit = Self::BITS;
        while bit > 0 {
            bit -= 1;
            self = self.add(self.swap(bit));
        }
        self.lanes()[0]
    }
}

/// A piece of work that is compiled once per level.
pub trait Kernel<R: Real> {
    /// What it returns.
    type Output;

    /// Does the work with vectors `V`. Implementations are `#[inline(always)]`, and so is all that
    /// they call down to the last loop.
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) -> Self::Output;
}

impl Level {
    /// The level's name, as `qnnw info` prints it and [`VARIABLE`] takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
        }
    }

    /// The level's number, from 0.
    pub fn number(self) -> usize {
        match self {
            Self::Portable => 0,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => 1,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => 2,
        }
    }

    /// The levels that this processor has, best last.
    pub fn available() -> Vec<Self> {
        let mut levels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                levels.push(Self::Avx2(Proof(())));
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && levels.len() == 2
            {
                levels.push(Self::Avx512(Proof(())));
            }
        }
        levels
    }

    /// The level of all public functions: the best there is, or the one that [`VARIABLE`] names.
    pub fn current() -> Result<Self> {
        // Its number and 1, once it is known; no cell that a fork could find half filled.
        static LEVEL: AtomicUsize = AtomicUsize::new(0);
        match LEVEL.load(Ordering::Relaxed) {
            0 => {
                let level = Self::choose(std::env::var(VARIABLE).ok().as_deref())?;
                LEVEL.store(1 + level.number(), Ordering::Relaxed);
                Ok(level)
            }
            #[cfg(target_arch = "x86_64")]
            2 => Ok(Self::Avx2(Proof(()))),
            #[cfg(target_arch = "x86_64")]
            3 => Ok(Self::Avx512(Proof(()))),
            _ => Ok(Self::Portable),
        }
    }

    /// The level with this name; the best one without a name.
    fn choose(name: Option<&str>) -> Result<Self> {
        let levels = Self::available();
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Ok(levels[levels.len() - 1]);
        };
        levels.iter().copied().find(|level| level.name() == name).ok_or_else(|| {
            let names: Vec<_> = levels.iter().map(|level| level.name()).collect();
            Error::value(
                VARIABLE,
                format!("is {name:?}"),
                format!("this processor has {}", names.join(", ")),
            )
        })
    }

    /// log2 of the lanes that vectors of this level have.
    pub fn lane_bits<R: Real>(self) -> usize {
        match self {
            Self::Portable => R::Portable::BITS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => R::Avx2::BITS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => R::Avx512::BITS,
        }
    }

    /// Runs a kernel at this level.
    #[inline]
    pub fn run<R: Real, K: Kernel<R>>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2<R: Real, K: Kernel<R>>(kernel: K) -> K::Output {
            kernel.run::<R::Avx2>(Cpu(PhantomData))
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
        fn avx512<R: Real, K: Kernel<R>>(kernel: K) -> K::Output {
            kernel.run::<R::Avx512>(Cpu(PhantomData))
        }
        match self {
            Self::Portable => kernel.run::<R::Portable>(Cpu(PhantomData)),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the proof comes from `available`, which asked the processor for these features.
            Self::Avx2(_) => unsafe { avx2(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx512(_) => unsafe { avx512(kernel) },
        }
    }
}
