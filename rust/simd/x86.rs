//! What vectors of AVX2 and of AVX-512 have in common.

/// Methods on values of `$vector`, whose bodies are compiled with `$features`: there the intrinsics
/// that only know registers are safe, and the compiler refuses any other unsafe work.
macro_rules! registers {
    ($vector:ident, $features:literal;
     $(fn $name:ident $(<const $flag:ident: bool>)? ($x:ident: $own:ty $(, $argument:ident: $kind:ty)*)
         -> $out:ty $body:block)*) => {$(
        #[inline(always)]
        fn $name $(<const $flag: bool>)? (self $(, $argument: $kind)*) -> $out {
            #[inline]
            #[target_feature(enable = $features)]
            fn inner $(<const $flag: bool>)? ($x: $own $(, $argument: $kind)*) -> $out $body
            // SAFETY: `self` is a vector, and nobody has one but by a `Cpu`, which is
            // made by `Level::run` alone, behind a check of these very features.
            unsafe { inner $(::<$flag>)? (self $(, $argument)*) }
        }
    )*};
}

/// Arithmetic: `name(arguments) = intrinsic`.
macro_rules! instructions {
    ($vector:ident, $features:literal; $($name:ident($($argument:ident),*) = $intrinsic:ident;)*) => {
        $crate::simd::x86::registers! { $vector, $features;
            $(fn $name(x: $vector $(, $argument: $vector)*) -> $vector {
                $vector($intrinsic(x.0 $(, $argument.0)*))
            })*
        }
    };
}

/// Ways between memory and vectors of `$real`, whose lane permutations are `$index`.
macro_rules! memory {
    ($real:ident, $index:ident, $splat:ident, $load:ident, $store:ident, $load_index:ident) => {
        type Real = $real;
        type Index = $index;

        #[inline(always)]
        fn splat(_: Cpu<Self>, value: $real) -> Self {
            // SAFETY: a `Cpu` is proof of the instructions.
            unsafe { Self($splat(value)) }
        }
        #[inline(always)]
        unsafe fn load(_: Cpu<Self>, from: *const $real) -> Self {
            // SAFETY: a `Cpu` is proof of the instructions; all lanes may be read, says the caller.
            unsafe { Self($load(from)) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut $real) {
            // SAFETY: a vector is proof of the instructions; all lanes may be written, says the caller.
            unsafe { $store(to, self.0) }
        }
        #[inline(always)]
        fn load_index(_: Cpu<Self>, words: &[u32; 16]) -> $index {
            // SAFETY: a `Cpu` is proof of the instructions; the words have 512 bits.
            unsafe { $load_index(words.as_ptr().cast()) }
        }
    };
}

pub(super) use {instructions, memory, registers};
