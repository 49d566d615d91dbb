//! Arithmetic on slices, no policy: what is computed, never in which order passes run.

pub mod entangle;
pub mod phase;
pub mod reduce;
pub mod rotation;
