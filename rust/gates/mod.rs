//! Circuits of any gates: rotations by Paulis, planned into passes over the state.
//!
//! `span` → `program` (what a circuit is lowered to) → `steps`, `plan` → `numbers`, `tables` →
//! `sweep` (the kernels) → `run`.

pub mod numbers;
pub mod plan;
pub mod program;
pub mod run;
pub mod span;
pub mod steps;
pub mod sweep;
pub mod tables;

pub use program::{Angles, Program, Rotation};
