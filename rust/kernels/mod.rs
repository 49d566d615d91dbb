//! The inner loops, written once over [`crate::simd::Lanes`].
//!
//! Kernels reach a state through raw pointers: threads work on interleaved lines of one buffer.
//! Whoever builds a kernel promises that no two kernels that run at once touch the same lines.

// One index runs over several arrays, vectors or lines at once; the loops unroll as written.
#![allow(clippy::needless_range_loop)]

pub mod butterfly;
pub mod cotangent;
pub mod finish;
pub mod first;
pub mod output;
pub mod products;
pub mod read;
pub mod start;
pub mod sweep;
pub mod unphase;
