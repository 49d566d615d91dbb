//! Circuits of any gates: rotations by Paulis, planned into passes over the state.
//!
//! `span` → `program` (what a circuit is lowered to) → `steps`, `plan` → `numbers`, `tables` →
//! `phases`, `turns`, `sweep` (the kernels) → `run`.

pub mod numbers;
#[cfg(test)]
mod oracle;
pub mod phases;
pub mod plan;
pub mod program;
pub mod run;
pub mod span;
pub mod steps;
pub mod sweep;
pub mod tables;
mod turns;

pub use program::{Angles, Program, Rotation};
