//! The circuit with all that can be prepared before the angles are known.

use std::sync::OnceLock;

use crate::ansatz::{EfficientSu2, linear_image};
use crate::gather::Gather;
use crate::layout::Layout;
use crate::schedule::Schedule;
use crate::simd::{Level, Real};

/// How one precision and one level evolve the circuit.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The layout of states.
    pub layout: Layout,
    /// The order of the butterflies.
    pub schedule: Schedule,
    /// The order in which products of two states visit the lines.
    pub products: Schedule,
    /// Bits of the line number in the last step.
    pub last_bits: usize,
    forward: Vec<Gather>,
    backward: Vec<Gather>,
}

impl Plan {
    fn new<R: Real>(ansatz: &EfficientSu2, level: Level) -> Self {
        let layout = Layout::new::<R>(ansatz.num_qubits(), level);
        let schedule = Schedule::new(layout);
        let entanglers = ansatz.entanglers();
        Self {
            layout,
            last_bits: schedule.last_bits().len(),
            forward: entanglers
                .iter()
                .map(|e| Gather::new::<R>(&schedule, &e.sources, level))
                .collect(),
            backward: entanglers
                .iter()
                .map(|e| Gather::new::<R>(&schedule, &e.targets, level))
                .collect(),
            products: Schedule::for_two_states(layout),
            schedule,
        }
    }

    /// Reads the state before the CNOTs of a block.
    pub fn forward(&self, block: usize) -> &Gather {
        &self.forward[block % self.forward.len()]
    }

    /// Reads the state after the CNOTs of a block.
    pub fn backward(&self, block: usize) -> &Gather {
        &self.backward[block % self.backward.len()]
    }
}

/// An EfficientSU2 circuit and its plans, made when first used.
#[derive(Debug, Clone)]
pub struct Circuit {
    ansatz: EfficientSu2,
    plans: [OnceLock<Box<Plan>>; 6],
}

impl From<EfficientSu2> for Circuit {
    fn from(ansatz: EfficientSu2) -> Self {
        Self { ansatz, plans: Default::default() }
    }
}

impl std::ops::Deref for Circuit {
    type Target = EfficientSu2;

    fn deref(&self) -> &EfficientSu2 {
        &self.ansatz
    }
}

impl Circuit {
    /// Where the CNOTs of a block move a basis index.
    pub fn moved(&self, block: usize, index: usize) -> usize {
        let entanglers = self.ansatz.entanglers();
        linear_image(&entanglers[block % entanglers.len()].targets, index)
    }

    /// The plan of a precision at a level.
    pub fn plan<R: Real>(&self, level: Level) -> &Plan {
        let precision = usize::from(size_of::<R>() == 8);
        let slot = 2 * level.number() + precision;
        self.plans[slot].get_or_init(|| Box::new(Plan::new::<R>(&self.ansatz, level)))
    }
}
