//! What vectors of AVX2 and of AVX-512 have in common: methods that are one instruction each.

/// Arithmetic: `name(arguments) = intrinsic`.
macro_rules! instructions {
    ($($name:ident($($argument:ident),*) = $intrinsic:ident;)*) => {$(
        #[inline(always)]
        fn $name(self, $($argument: Self),*) -> Self {
            // SAFETY: a value of this type is proof of the instructions.
            unsafe { Self($intrinsic(self.0, $($argument.0),*)) }
        }
    )*};
}

/// Ways between memory and vectors of `$real`, whose lane permutations are `$index`.
macro_rules! memory {
    ($real:ident, $index:ident, $splat:ident, $load:ident, $store:ident, $load_index:ident) => {
        type Real = $real;
        type Index = $index;

        #[inline(always)]
        unsafe fn splat(value: $real) -> Self {
            // SAFETY: the caller's promise.
            unsafe { Self($splat(value)) }
        }
        #[inline(always)]
        unsafe fn load(from: *const $real) -> Self {
            // SAFETY: the caller's promise.
            unsafe { Self($load(from)) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut $real) {
            // SAFETY: the caller's promise.
            unsafe { $store(to, self.0) }
        }
        #[inline(always)]
        unsafe fn load_index(words: &[u32; 16]) -> $index {
            // SAFETY: the caller's promise; the words have 512 bits.
            unsafe { $load_index(words.as_ptr().cast()) }
        }
    };
}

pub(super) use {instructions, memory};
