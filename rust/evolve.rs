//! The order in which kernels run: angles → state vector → probabilities, one set or a batch.

use num_complex::Complex;

use crate::circuit::{Circuit, Plan};
use crate::error::Result;
use crate::kernels::output::Probabilities;
use crate::kernels::read::Source;
use crate::kernels::start::{ProductState, Start};
use crate::kernels::sweep::{Finish, Sweep};
use crate::layer::{Layer, LayerAngles};
use crate::layout::Layout;
use crate::memory;
use crate::parallel::{self, Cancel, TEAM_AMPLITUDES, Team};
use crate::simd::{Level, Real};
use crate::state::{Kept, Workspace, with_workspace};
use crate::trapezoid;
use crate::view::View;

/// How one evolution runs.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The instruction-set level.
    pub level: Level,
    /// Who does the work.
    pub team: Team,
    /// Who may stop it.
    pub cancel: &'a Cancel,
}

/// A place for the states of all layers, before their phases: what the gradient needs again.
#[derive(Clone, Copy)]
pub struct Keep<'a, R> {
    /// Where they go, layer 0 first.
    pub states: View<'a, R>,
    /// Numbers from one layer to the next.
    pub stride: usize,
}

impl<'a, R: Copy> Keep<'a, R> {
    fn layer(self, layer: usize) -> View<'a, R> {
        self.states.part(layer * self.stride, self.stride)
    }
}

/// The state vectors of a batch of angles; `out` has 2^N entries per set.
pub fn statevectors<R: Kept>(
    circuit: &Circuit,
    angles: &[f64],
    out: &mut [Complex<R>],
    cancel: &Cancel,
) -> Result<()> {
    for_each_set(circuit, angles, out, cancel, |_, workspace, angles, out, run| {
        let turns = evolve(circuit, angles, workspace, run, None)?;
        workspace.free_scratch();
        write_statevector(circuit, workspace, turns, out, run)
    })
}

/// The probabilities |<i|psi>|^2 of a batch of angles; `out` has 2^N entries per set.
pub fn probabilities<R: Kept>(
    circuit: &Circuit,
    angles: &[f64],
    out: &mut [R],
    cancel: &Cancel,
) -> Result<()> {
    for_each_set(circuit, angles, out, cancel, |_, workspace, angles, out, run| {
        evolve(circuit, angles, workspace, run, None)?;
        workspace.free_scratch();
        measure(circuit, workspace, out, run)
    })
}

/// Bytes of a state vector.
pub fn state_bytes<R: Real>(circuit: &Circuit) -> u128 {
    circuit.dimension() as u128 * 2 * size_of::<R>() as u128
}

/// Bytes that a forward evolution works in: one state where layers are walked in place, else two.
pub fn work_bytes<R: Real>(circuit: &Circuit) -> Result<u128> {
    let states = if circuit.in_place::<R>(Level::current()?) { 1 } else { 2 };
    Ok(states * state_bytes::<R>(circuit))
}

/// An error if a batch does not fit in memory: `set_bytes` stay of every set, its result among them,
/// and `work_bytes` are held for each set that is worked on at the moment.
pub fn require_memory(
    circuit: &Circuit,
    sets: usize,
    set_bytes: u128,
    work_bytes: u128,
) -> Result<()> {
    let small = circuit.dimension() < TEAM_AMPLITUDES;
    let side_by_side = if small { parallel::num_threads() } else { 1 };
    let work = side_by_side.min(sets) as u128 * work_bytes;
    memory::require(work + sets as u128 * set_bytes, || {
        let batch = if sets == 1 { String::new() } else { format!(" for {sets} sets of angles") };
        format!("the state vector of {} qubits{batch}", circuit.num_qubits())
    })
}

/// Evolves every set of a batch with `work(set, workspace, angles, out, run)`.
///
/// Small sets run side by side, one thread each; large ones run one after another, each with a
/// team. Which of the two depends on N and the batch alone.
pub fn for_each_set<R: Kept, T: Send>(
    circuit: &Circuit,
    angles: &[f64],
    out: &mut [T],
    cancel: &Cancel,
    work: impl Fn(usize, &mut Workspace<R>, &[f64], &mut [T], Run<'_>) -> Result<()> + Sync,
) -> Result<()> {
    let dimension = circuit.dimension();
    let sets = angles.len() / circuit.num_parameters();
    if sets == 0 {
        return Ok(());
    }
    let row = out.len() / sets;
    let level = Level::current()?;
    let layout = circuit.plan::<R>(level)?.layout;
    let rows = angles.chunks_exact(circuit.num_parameters()).zip(out.chunks_exact_mut(row));
    let one = |set: usize, angles: &[f64], out: &mut [T], team: Team| {
        cancel.check()?;
        let run = Run { level, team, cancel };
        with_workspace(layout, |workspace| work(set, workspace, angles, out, run))
    };
    // A lone small set never leaves the calling thread.
    let amplitudes = if sets == 1 { dimension } else { dimension.saturating_mul(sets) };
    parallel::with_team(amplitudes, |team| {
        if dimension >= TEAM_AMPLITUDES || sets == 1 {
            for (set, (angles, out)) in rows.enumerate() {
                one(set, angles, out, team)?;
            }
            return Ok(());
        }
        let rows = memory::collected(rows.enumerate())?;
        team.for_each(rows, |(set, (angles, out))| one(set, angles, out, Team::Solo))
    })
}

/// Leaves in `workspace` the state before the last RZ layer, which changes no probability, without
/// the last layer's scale and with the bits of its frame flipped; both are in the workspace's layer.
/// Returns the quarter turns of the global phase.
pub fn evolve<R: Real>(
    circuit: &Circuit,
    angles: &[f64],
    workspace: &mut Workspace<R>,
    run: Run<'_>,
    keep: Option<Keep<'_, R>>,
) -> Result<usize> {
    let plan = circuit.plan::<R>(run.level)?;
    workspace.angles.fill(run.level, angles)?;
    start(circuit, plan, workspace, run, keep)?;
    if let Some(walks) = &plan.walks {
        return trapezoid::forward(circuit, plan, walks, workspace, run);
    }
    workspace.scratch.reserve(plan.layout.length())?;
    let mut turns = 0;
    for layer in 1..=circuit.reps() {
        let layer_angles = LayerAngles::new(&workspace.angles, layer, circuit.num_qubits());
        let frame = circuit.moved(layer - 1, workspace.layer.frame);
        workspace.layer.fill(plan.layout, plan.split, layer_angles, frame, run.level)?;
        turns += workspace.layer.quarter_turns;
        let finish = if layer < circuit.reps() { Finish::Phases } else { Finish::Rotations };
        let kept = keep.map(|keep| keep.layer(layer));
        let source = Source { state: workspace.state.view(), gather: plan.forward(layer - 1) };
        let to = workspace.scratch.view();
        rotate(plan, &workspace.layer, Some(source), to, finish, kept, run)?;
        workspace.swap();
    }
    Ok(turns)
}

/// One rotation layer: the passes of the schedule, through the CNOTs from `source` to `state`, or
/// in place.
pub fn rotate<R: Real>(
    plan: &Plan,
    layer: &Layer<R>,
    source: Option<Source<'_, R>>,
    state: View<'_, R>,
    finish: Finish,
    kept: Option<View<'_, R>>,
    run: Run<'_>,
) -> Result<()> {
    let passes = &plan.schedule.passes;
    for (index, pass) in passes.iter().enumerate() {
        let last = index + 1 == passes.len();
        run.each_range(pass.tiles.len(), |tiles| {
            run.level.run(Sweep {
                pass,
                layer,
                state,
                source: source.filter(|_| index == 0),
                finish: if last { finish } else { Finish::Open },
                kept: kept.filter(|_| last),
                tiles,
            });
        })?;
    }
    Ok(())
}

/// The first rotation layer.
fn start<R: Real>(
    circuit: &Circuit,
    plan: &Plan,
    workspace: &mut Workspace<R>,
    run: Run<'_>,
    keep: Option<Keep<'_, R>>,
) -> Result<()> {
    let layer_angles = LayerAngles::new(&workspace.angles, 0, circuit.num_qubits());
    if circuit.reps() == 0 {
        // The last layer's phases change no probability; the state vector gets them as it is written.
        workspace.layer.fill_no_phases(plan.layout, plan.split, run.level)?;
    } else {
        workspace.layer.fill_phases(plan.layout, plan.split, layer_angles, run.level)?;
    }
    let product = ProductState::new(plan.layout, layer_angles);
    let kept = keep.map(|keep| keep.layer(0));
    let state = workspace.state.view();
    run.each_range(1 << plan.layout.line_bits, |lines| {
        run.level.run(Start {
            layout: plan.layout,
            product: &product,
            layer: &workspace.layer,
            state,
            kept,
            lines,
        });
    })?;
    if circuit.reps() == 0 {
        workspace.layer.fill_phases(plan.layout, plan.split, layer_angles, run.level)?;
    }
    Ok(())
}

/// Writes the probabilities of the state in `workspace`.
pub fn measure<R: Real>(
    circuit: &Circuit,
    workspace: &Workspace<R>,
    out: &mut [R],
    run: Run<'_>,
) -> Result<()> {
    let layout = circuit.plan::<R>(run.level)?.layout;
    let Layer { scale, frame, .. } = workspace.layer;
    write_probabilities(layout, workspace.state.view(), scale, frame, View::of(out), run)
}

/// Writes the probabilities of a state with this scale and frame.
pub fn write_probabilities<R: Real>(
    layout: Layout,
    state: View<'_, R>,
    scale: f64,
    frame: usize,
    out: View<'_, R>,
    run: Run<'_>,
) -> Result<()> {
    // Ranges of whole vectors: lines come in powers of two.
    run.each_range(1 << layout.line_bits, |lines| {
        run.level.run(Probabilities {
            layout,
            state,
            scale: R::from_f64(scale * scale),
            frame,
            out,
            lines,
        });
    })
}

fn write_statevector<R: Real>(
    circuit: &Circuit,
    workspace: &Workspace<R>,
    turns: usize,
    out: &mut [Complex<R>],
    run: Run<'_>,
) -> Result<()> {
    assert_eq!(out.len(), circuit.dimension());
    let layout = circuit.plan::<R>(run.level)?.layout;
    let layer = &workspace.layer;
    let state = workspace.state.view();
    let global = Complex::new(0.0, 1.0).powu((turns % 4) as u32);
    let line_mask = (1 << layout.line_bits) - 1;
    let out = View::of(out);
    run.each_range(circuit.dimension(), |bases| {
        for basis in bases {
            let index = basis ^ layer.frame;
            let (line, lane) = (index & line_mask, index >> layout.line_bits);
            let place = layout.place(line) + lane;
            let [re, im] = [place, place + (1 << layout.lane_bits)];
            let value = Complex::new(state.get(re).to_f64(), state.get(im).to_f64());
            let phase = layer.phases.at(layout, line, lane);
            let value = value * Complex::new(phase[0], phase[1]) * global;
            out.set(basis, Complex::new(R::from_f64(value.re), R::from_f64(value.im)));
        }
    })
}

impl Run<'_> {
    /// Runs `work` over ranges of 0 .. items, a power of two of them, on the team or at once.
    pub fn each_range(
        self,
        items: usize,
        work: impl Fn(std::ops::Range<usize>) + Sync,
    ) -> Result<()> {
        self.cancel.check()?;
        match self.team {
            Team::Solo => work(0..items),
            Team::Pool => {
                let tasks = (8 * parallel::num_threads()).next_power_of_two().min(items);
                let size = items / tasks;
                self.team.for_each(0..tasks, |task| {
                    work(task * size..(task + 1) * size);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }
}

/// Runs `work` with the probabilities of one set, left in the workspace's scratch space.
pub fn with_probabilities<R: Real, T>(
    circuit: &Circuit,
    angles: &[f64],
    workspace: &mut Workspace<R>,
    run: Run<'_>,
    work: impl FnOnce(&mut [R]) -> Result<T>,
) -> Result<T> {
    evolve(circuit, angles, workspace, run, None)?;
    let layout = circuit.plan::<R>(run.level)?.layout;
    let Layer { scale, frame, .. } = workspace.layer;
    workspace.scratch.reserve(circuit.dimension())?;
    let out = workspace.scratch.view().part(0, circuit.dimension());
    write_probabilities(layout, workspace.state.view(), scale, frame, out, run)?;
    // SAFETY: every basis was just written.
    work(unsafe { workspace.scratch.written(circuit.dimension()) })
}

#[cfg(test)]
#[path = "evolve_tests.rs"]
mod tests;
