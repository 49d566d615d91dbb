//! The core of qnnw: EfficientSU2 circuits on a state vector, shots, and the weight map.
//!
//! Conventions, everywhere: qubit 0 is the least significant bit of a basis index (Qiskit's
//! order); angles are radians, layer by layer, RY of qubits 0 … N-1, then RZ of qubits 0 … N-1;
//! batches are rows of one contiguous slice; results do not depend on the number of threads.
//!
//! Imports go down only: `error`, `rng`, `forks` → `simd`, `ansatz`, `parallel`, `memory`, `view`,
//! `buffer`, `relay` → `blocking`, `layout`, `schedule`, `gather` → `shares`, `walk` → `circuit`,
//! `layer`, `state` → `kernels` → `evolve`, `gradient`, `sampling`, `weights` → `generate`,
//! `pullback`, `words` → `python`.

pub mod ansatz;
pub mod binomial;
pub mod blocking;
pub mod buffer;
pub mod circuit;
pub mod error;
pub mod evolve;
pub mod forks;
pub mod gates;
pub mod gather;
pub mod generate;
pub mod gradient;
pub mod kernels;
pub mod layer;
pub mod layout;
pub mod memory;
#[cfg(test)]
mod oracle;
pub mod parallel;
pub mod pullback;
#[cfg(feature = "python")]
mod python;
mod relay;
pub mod rng;
pub mod sampling;
pub mod schedule;
#[cfg(test)]
mod shapes;
pub mod shares;
pub mod simd;
pub mod state;
mod trapezoid;
pub mod view;
pub mod walk;
pub mod weights;
pub mod words;

pub use ansatz::{EfficientSu2, Entanglement};
pub use circuit::Circuit;
pub use error::{Error, Result};
pub use weights::WeightMap;
