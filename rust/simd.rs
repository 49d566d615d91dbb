//! The instruction-set level: found once at run time, handed to every kernel.
//!
//! Kernels are written once, as plain loops, and compiled once per level by [`multiversion!`].
//! None of them contracts a product and a sum into one rounding, so every level gives the same
//! bits.

use std::sync::OnceLock;

/// What the processor can do, as far as the kernels make use of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The target's baseline.
    Portable,
    /// x86-64 with AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
}

/// Proof that the processor has AVX2: only [`level`] makes one.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2(());

impl Level {
    /// The level's name, as `qnnw info` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
        }
    }
}

/// The best level of this processor.
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            return Level::Avx2(Avx2(()));
        }
        Level::Portable
    })
}

/// Compiles an `#[inline(always)]` function once per level and picks one by its first argument.
macro_rules! multiversion {
    ($(#[$doc:meta])* $visible:vis fn $name:ident = $body:ident($($argument:ident: $kind:ty),* $(,)?)) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        $visible fn $name(level: $crate::simd::Level, $($argument: $kind),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                #[allow(clippy::too_many_arguments)]
                fn avx2($($argument: $kind),*) {
                    $body($($argument),*)
                }
                if let $crate::simd::Level::Avx2(_) = level {
                    // SAFETY: the value proves that the processor has AVX2.
                    return unsafe { avx2($($argument),*) };
                }
            }
            let _ = level;
            $body($($argument),*)
        }
    };
}
pub(crate) use multiversion;
