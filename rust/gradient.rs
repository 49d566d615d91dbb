//! Exact gradients: one sweep backwards over the layers (the adjoint method for a whole vector of
//! probabilities at once).

use crate::buffer::Buffer;
use crate::circuit::{Circuit, Plan};
use crate::error::Result;
use crate::evolve::{self, Keep, Run};
use crate::kernels::cotangent::Cotangent;
use crate::kernels::products::{CHUNK, Products, Sums};
use crate::kernels::read::Source;
use crate::kernels::sweep::Finish;
use crate::kernels::unphase::Unphase;
use crate::layer::{Layer, LayerAngles};
use crate::memory;
use crate::parallel::{self, Team};
use crate::relay::Relay;
use crate::simd::math::HalfAngles;
use crate::simd::{Level, Real};
use crate::state::Workspace;
use crate::trapezoid;
use crate::view::View;

/// Largest state whose layers are all kept for the way back.
const KEPT_QUBITS: usize = 16;
/// Most memory that they may take together, in bytes.
const KEPT_BYTES: usize = 1 << 28;

/// Adjoints that wait for a thread that follows, at most.
const AHEAD: usize = 8;

/// What a forward evolution leaves for the way back.
#[derive(Debug)]
pub struct Tape<R> {
    level: Level,
    angles: HalfAngles,
    /// The frame before and after every layer.
    frames: Vec<[usize; 2]>,
    /// The last layer's scale.
    scale: f64,
    states: States<R>,
}

#[derive(Debug)]
enum States<R> {
    /// The states of all layers before their phases, one after the other.
    Kept { states: Buffer<R>, stride: usize },
    /// The last state alone; earlier ones are computed on the way back.
    Last(Buffer<R>),
}

/// Whether all layers' states are kept.
pub fn keeps<R: Real>(circuit: &Circuit, plan: &Plan) -> bool {
    let bytes = (plan.layout.length() * size_of::<R>()).saturating_mul(circuit.reps() + 1);
    plan.walks.is_none() && circuit.num_qubits() <= KEPT_QUBITS && bytes <= KEPT_BYTES
}

/// State vectors that a tape holds, and those that whoever works on one holds beside it.
pub fn states_needed<R: Real>(circuit: &Circuit, level: Level) -> Result<[u128; 2]> {
    if circuit.in_place::<R>(level) {
        return Ok([1, 1]);
    }
    let kept = keeps::<R>(circuit, circuit.plan::<R>(level)?);
    if !kept {
        return Ok([1, 3]);
    }
    let followed = parallel::is_followed(circuit.dimension());
    Ok([circuit.reps() as u128 + 1, if followed { 3 + AHEAD as u128 } else { 4 }])
}

impl<R: Real> Tape<R> {
    /// Evolves a set of angles; the workspace holds the state afterwards, as after
    /// [`evolve::evolve`].
    pub fn record(
        circuit: &Circuit,
        angles: &[f64],
        workspace: &mut Workspace<R>,
        run: Run<'_>,
    ) -> Result<Self> {
        let plan = circuit.plan::<R>(run.level)?;
        let stride = plan.layout.length().next_multiple_of(64);
        let kept =
            keeps::<R>(circuit, plan).then(|| Buffer::<R>::new(stride * (circuit.reps() + 1)));
        let kept = kept.transpose()?;
        let keep = kept.as_ref().map(|states| Keep { states: states.view(), stride });
        evolve::evolve(circuit, angles, workspace, run, keep)?;
        let states = match kept {
            Some(states) => States::Kept { states, stride },
            None => {
                let last = std::mem::replace(&mut workspace.state, Buffer::empty());
                // The way back needs its own: four states at once are the most that there are.
                workspace.scratch = Buffer::empty();
                States::Last(last)
            }
        };
        let angles = std::mem::take(&mut workspace.angles);
        Ok(Self {
            level: run.level,
            frames: circuit.frames(&angles)?,
            scale: workspace.layer.scale,
            angles,
            states,
        })
    }

    /// Writes the probabilities.
    pub fn measure(&self, circuit: &Circuit, out: &mut [R], run: Run<'_>) -> Result<()> {
        let layout = circuit.plan::<R>(self.level)?.layout;
        let (scale, frame) = self.last_scale();
        let run = Run { level: self.level, ..run };
        let state = self.state(circuit.reps());
        evolve::write_probabilities(layout, state, scale, frame, View::of(out), run)
    }

    /// Scale and frame of the last state.
    fn last_scale(&self) -> (f64, usize) {
        (self.scale, self.frames[self.frames.len() - 1][1])
    }

    /// Whether [`Tape::backward`] leaves the tape fit for another cotangent.
    pub fn reusable(&self) -> bool {
        matches!(self.states, States::Kept { .. })
    }

    /// Writes dL/dangles for L = sum(cotangent * probabilities).
    pub fn backward(
        &mut self,
        circuit: &Circuit,
        cotangent: &[R],
        gradient: &mut [R],
        run: Run<'_>,
    ) -> Result<()> {
        assert_eq!(cotangent.len(), circuit.dimension());
        assert_eq!(gradient.len(), circuit.num_parameters());
        assert_eq!(self.angles.cos.len(), circuit.num_parameters(), "another circuit's tape");
        let run = Run { level: self.level, ..run };
        let plan = circuit.plan::<R>(self.level)?;
        let length = plan.layout.length();
        if self.reusable() && run.team == Team::Solo && parallel::is_followed(circuit.dimension()) {
            return self.backward_followed(circuit, plan, cotangent, gradient, run);
        }
        let mut adjoint = Buffer::<R>::new(length)?;
        if let Some(walks) = &plan.walks {
            self.start(circuit, plan, cotangent, adjoint.view(), run)?;
            let States::Last(state) = &mut self.states else {
                unreachable!("no walk keeps states")
            };
            let (angles, frames, both) = (&self.angles, &self.frames[..], [state, &mut adjoint]);
            let layers = trapezoid::backward(circuit, walks, angles, frames, both, run)?;
            for (index, sums) in layers.iter().enumerate() {
                self.write(circuit, index, sums, self.scale, gradient);
            }
            return Ok(());
        }
        let mut scratch = Buffer::<R>::new(length)?;
        // Where the states are not kept, the last one is taken back along with the adjoint.
        let mut state_scratch =
            if self.reusable() { Buffer::empty() } else { Buffer::<R>::new(length)? };
        let mut layer = Layer::<R>::default();
        self.start(circuit, plan, cotangent, adjoint.view(), run)?;
        for index in (0..=circuit.reps()).rev() {
            let state = self.state(index);
            let sums = products(plan, adjoint.view(), state, run)?;
            self.write(circuit, index, &sums, self.missing(index), gradient);
            if index == 0 {
                break;
            }
            self.fill_inverse(circuit, plan, index, &mut layer, run.level)?;
            back(plan, index, &layer, &mut adjoint, &mut scratch, run)?;
            if let States::Last(state) = &mut self.states {
                back(plan, index, &layer, state, &mut state_scratch, run)?;
            }
        }
        Ok(())
    }

    /// The same where all states are kept, on two threads: one takes the adjoint from layer to layer,
    /// another follows with the products of each.
    fn backward_followed(
        &self,
        circuit: &Circuit,
        plan: &Plan,
        cotangent: &[R],
        gradient: &mut [R],
        run: Run<'_>,
    ) -> Result<()> {
        let (reps, length) = (circuit.reps(), plan.layout.length());
        // Adjoint number `step` is that of layer `reps - step`.
        let slots = AHEAD.min(reps + 1);
        let adjoints = (0..slots).map(|_| Buffer::<R>::new(length)).collect::<Result<Vec<_>>>()?;
        let adjoint = |step: usize| adjoints[step % slots].view();
        let rotated = Buffer::<R>::new(length)?;
        let relay = Relay::new(reps + 1)?;
        let work = |step: usize| products(plan, adjoint(step), self.state(reps - step), run);
        let lead = || {
            self.start(circuit, plan, cotangent, adjoint(0), run)?;
            relay.pass();
            let mut layer = Layer::<R>::default();
            for step in 1..=reps {
                let index = reps + 1 - step;
                self.fill_inverse(circuit, plan, index, &mut layer, run.level)?;
                let source = Source { state: adjoint(step - 1), gather: &plan.still };
                let to = rotated.view();
                evolve::rotate(plan, &layer, Some(source), to, Finish::Rotations, None, run)?;
                if let Some(last) = step.checked_sub(slots) {
                    relay.wait_for(last, &work);
                }
                unphase(plan, index, &layer, [rotated.view(), adjoint(step)], run)?;
                relay.pass();
            }
            relay.results(&work)
        };
        let found = parallel::with_follower(|| relay.follow(&work), || relay.lead(lead))?;
        for (index, sums) in (0..=reps).rev().zip(&found) {
            self.write(circuit, index, sums, self.missing(index), gradient);
        }
        Ok(())
    }

    /// Prepares the way from one layer's rotations back to those of the layer before.
    fn fill_inverse(
        &self,
        circuit: &Circuit,
        plan: &Plan,
        index: usize,
        layer: &mut Layer<R>,
        level: Level,
    ) -> Result<()> {
        let angles = |index| LayerAngles::new(&self.angles, index, circuit.num_qubits());
        layer.fill_inverse_rotations(plan.layout, angles(index), self.frames[index][0]);
        let (frames, scale) = (self.frames[index - 1], layer.scale);
        layer.fill_inverse_phases(plan.layout, angles(index - 1), frames, scale, level)
    }

    /// The state of a layer before its phases.
    fn state(&self, layer: usize) -> View<'_, R> {
        match &self.states {
            States::Kept { states, stride } => states.view().part(stride * layer, *stride),
            States::Last(state) => state.view(),
        }
    }

    /// What the state at hand for a layer lacks to be a unit vector: if it was kept, the product of
    /// the layer's cosines; if the last one was taken back to it, that one's.
    fn missing(&self, layer: usize) -> f64 {
        if !self.reusable() || layer + 1 == self.frames.len() {
            return self.scale;
        }
        if layer == 0 {
            return 1.0;
        }
        let qubits = self.angles.cos.len() / (2 * self.frames.len());
        self.angles.cos[2 * qubits * layer..][..qubits].iter().product()
    }

    /// The adjoint of the last layer.
    fn start(
        &self,
        circuit: &Circuit,
        plan: &Plan,
        cotangent: &[R],
        adjoint: View<'_, R>,
        run: Run<'_>,
    ) -> Result<()> {
        let (scale, frame) = self.last_scale();
        let state = self.state(circuit.reps());
        run.each_range(1 << plan.layout.line_bits, |lines| {
            run.level.run(Cotangent {
                layout: plan.layout,
                cotangent,
                scale: R::from_f64(scale),
                frame,
                state,
                adjoint,
                lines,
            });
        })
    }

    /// Writes a layer's part of the gradient; a flipped qubit turned the other way.
    fn write(
        &self,
        circuit: &Circuit,
        layer: usize,
        sums: &Sums,
        missing: f64,
        gradient: &mut [R],
    ) {
        let qubits = circuit.num_qubits();
        let (ry, rz) = gradient[2 * qubits * layer..][..2 * qubits].split_at_mut(qubits);
        let [before, after] = self.frames[layer];
        let signed = |frame: usize, qubit: usize, value: f64| {
            R::from_f64(if (frame >> qubit) & 1 == 1 { -value } else { value } * missing)
        };
        for qubit in 0..qubits {
            ry[qubit] = signed(before, qubit, sums.ry[qubit]);
            // The last RZ layer changes no probability.
            rz[qubit] = if layer == circuit.reps() {
                R::default()
            } else {
                signed(after, qubit, -sums.rz[qubit])
            };
        }
    }
}

/// Takes a state back from between RY and RZ of layer `index` to the same point of the layer
/// before: inverse rotations, inverse CNOTs, inverse phases.
fn back<R: Real>(
    plan: &Plan,
    index: usize,
    layer: &Layer<R>,
    state: &mut Buffer<R>,
    scratch: &mut Buffer<R>,
    run: Run<'_>,
) -> Result<()> {
    evolve::rotate(plan, layer, None, state.view(), Finish::Rotations, None, run)?;
    unphase(plan, index, layer, [state.view(), scratch.view()], run)?;
    std::mem::swap(state, scratch);
    Ok(())
}

/// The second part of that: inverse CNOTs and inverse phases, from one state to another.
fn unphase<R: Real>(
    plan: &Plan,
    index: usize,
    layer: &Layer<R>,
    [from, to]: [View<'_, R>; 2],
    run: Run<'_>,
) -> Result<()> {
    let pass = &plan.schedule.passes[0];
    let source = Source { state: from, gather: plan.backward(index - 1) };
    run.each_range(pass.tiles.len(), |tiles| {
        run.level.run(Unphase { pass, source, phases: Some(&layer.phases), state: to, tiles });
    })
}

/// The sums of one layer, chunks added up in order: the same for any number of threads.
fn products<R: Real>(
    plan: &Plan,
    adjoint: View<'_, R>,
    state: View<'_, R>,
    run: Run<'_>,
) -> Result<Sums> {
    let mut total = Sums::default();
    for (index, pass) in plan.products.passes.iter().enumerate() {
        let chunks = pass.tiles.len().div_ceil(CHUNK);
        let mut sums = memory::filled(chunks, Sums::default())?;
        let all = View::of(&mut sums);
        run.each_range(chunks, |chunks| {
            run.level.run(Products {
                pass,
                first: index == 0,
                lanes: true,
                line_bits: plan.layout.line_bits,
                adjoint,
                state,
                chunks,
                sums: all,
            });
        })?;
        for chunk in &sums {
            for qubit in 0..plan.layout.padded_qubits() {
                total.ry[qubit] += chunk.ry[qubit];
                total.rz[qubit] += chunk.rz[qubit];
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
#[path = "gradient_tests.rs"]
mod tests;
