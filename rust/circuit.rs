//! The circuit with all that can be prepared before the angles are known.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::ansatz::{EfficientSu2, linear_image};
use crate::error::Result;
use crate::gather::Gather;
use crate::layer::Split;
use crate::layout::Layout;
use crate::memory;
use crate::schedule::Schedule;
use crate::shares::Shape;
use crate::simd::math::HalfAngles;
use crate::simd::{Level, Real};
use crate::walk::Walks;

/// How one precision and one level evolve the circuit.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The layout of states.
    pub layout: Layout,
    /// The order of the butterflies.
    pub schedule: Schedule,
    /// The order in which products of two states visit the lines.
    pub products: Schedule,
    /// Tables of phases.
    pub split: Split,
    /// Several layers per walk, where that can be and pays.
    pub walks: Option<Walks>,
    forward: Vec<Gather>,
    backward: Vec<Gather>,
    /// Reads a state as it is.
    pub still: Gather,
}

impl Plan {
    fn new<R: Real>(ansatz: &EfficientSu2, shape: Option<Shape>, level: Level) -> Result<Self> {
        let layout = Layout::new::<R>(ansatz.num_qubits(), level);
        let schedule = Schedule::new(layout)?;
        let last = schedule.last_step().map_or(0..0, |step| step.bits.clone());
        let walks = Walks::new::<R>(ansatz, layout, shape, level)?;
        // Walks have tables of their own.
        let known = if walks.is_some() { &[] } else { ansatz.entanglers() };
        let entanglers = known.iter();
        let gather = |columns: &Vec<u32>| Gather::new::<R>(&schedule, columns, level);
        let identity = (0..ansatz.num_qubits()).map(|qubit| 1 << qubit).collect();
        Ok(Self {
            layout,
            split: Split::new(&last, usize::MAX),
            walks,
            forward: entanglers.clone().map(|e| gather(&e.sources)).collect::<Result<_>>()?,
            backward: entanglers.map(|e| gather(&e.targets)).collect::<Result<_>>()?,
            // Not with the first rotations at once: those round otherwise than in place.
            still: Gather { uniform: false, ..gather(&identity)? },
            products: Schedule::for_two_states(layout)?,
            schedule,
        })
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

/// A value that is made when first used. Nobody waits for whoever makes it, who may not live on this
/// side of a fork: two that come at once make two, and one is dropped.
#[derive(Debug)]
struct Made<T>(AtomicPtr<T>);

impl<T> Made<T> {
    fn get(&self, make: impl FnOnce() -> Result<T>) -> Result<&T> {
        let mut made = self.0.load(Ordering::Acquire);
        if made.is_null() {
            let mine = Box::into_raw(Box::new(make()?));
            let order = (Ordering::AcqRel, Ordering::Acquire);
            made = match self.0.compare_exchange(null_mut(), mine, order.0, order.1) {
                Ok(_) => mine,
                Err(theirs) => {
                    // SAFETY: it was made above and given to nobody.
                    drop(unsafe { Box::from_raw(mine) });
                    theirs
                }
            };
        }
        // SAFETY: what is not null came out of a box, and stays until this is dropped.
        Ok(unsafe { &*made })
    }
}

impl<T> Default for Made<T> {
    fn default() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }
}

impl<T> Drop for Made<T> {
    fn drop(&mut self) {
        let made = *self.0.get_mut();
        if !made.is_null() {
            // SAFETY: it came out of a box, and nobody has a reference any more.
            drop(unsafe { Box::from_raw(made) });
        }
    }
}

/// An EfficientSU2 circuit and its plans, made when first used.
#[derive(Debug)]
pub struct Circuit {
    ansatz: EfficientSu2,
    /// The shape of walks, where it is not chosen by size.
    shape: Option<Shape>,
    plans: [Made<Plan>; 6],
}

impl From<EfficientSu2> for Circuit {
    fn from(ansatz: EfficientSu2) -> Self {
        Self { ansatz, shape: None, plans: Default::default() }
    }
}

impl std::ops::Deref for Circuit {
    type Target = EfficientSu2;

    fn deref(&self) -> &EfficientSu2 {
        &self.ansatz
    }
}

impl Circuit {
    /// The circuit with walks of this shape.
    #[cfg(test)]
    pub fn with_shape(ansatz: EfficientSu2, shape: Shape) -> Self {
        Self { shape: Some(shape), ..ansatz.into() }
    }

    /// Where the CNOTs of a block move a basis index.
    pub fn moved(&self, block: usize, index: usize) -> usize {
        let entanglers = self.ansatz.entanglers();
        linear_image(&entanglers[block % entanglers.len()].targets, index)
    }

    /// The frames before and after every layer.
    pub fn frames(&self, angles: &HalfAngles) -> Result<Vec<[usize; 2]>> {
        let qubits = self.num_qubits();
        let mut frame = 0;
        let mut frames = memory::filled(1, [0, 0])?;
        memory::reserve(&mut frames, self.reps())?;
        for layer in 1..=self.reps() {
            let before = self.moved(layer - 1, frame);
            let turns = &angles.quarter_turns[2 * qubits * layer..][..qubits];
            let turns = turns.iter().enumerate();
            frame = turns
                .fold(before, |frame, (qubit, &turns)| frame ^ (usize::from(turns & 1) << qubit));
            frames.push([before, frame]);
        }
        Ok(frames)
    }

    /// Whether several layers go into one walk over the state, in place.
    pub fn in_place<R: Real>(&self, level: Level) -> bool {
        Walks::wanted::<R>(&self.ansatz, self.shape, level)
    }

    /// The plan of a precision at a level.
    pub fn plan<R: Real>(&self, level: Level) -> Result<&Plan> {
        let precision = usize::from(size_of::<R>() == 8);
        let slot = 2 * level.number() + precision;
        self.plans[slot].get(|| Plan::new::<R>(&self.ansatz, self.shape, level))
    }
}
