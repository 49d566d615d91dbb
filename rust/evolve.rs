//! The order in which kernels run: angles → state vector → probabilities, one set or a batch.

use num_complex::Complex64;

use crate::ansatz::EfficientSu2;
use crate::error::Result;
use crate::kernels::phase::Diagonal;
use crate::kernels::rotation::HalfAngle;
use crate::kernels::{entangle, phase, reduce, rotation};
use crate::memory;
use crate::parallel::{self, Cancel, TASK_AMPLITUDES, TEAM_AMPLITUDES, Team};
use crate::simd::{self, Level};
use crate::state::{WORKSPACE_BYTES, Workspace, with_workspace};

/// Qubits of a tile of one plane: 2^11 numbers, half of a small first-level cache.
const TILE_QUBITS: usize = 11;

/// How one evolution runs.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    level: Level,
    /// Who does the work.
    pub team: Team,
    /// Who may stop it.
    pub cancel: &'a Cancel,
}

/// The state vectors of a batch of angles; `out` has 2^N entries per set.
pub fn statevectors(
    ansatz: &EfficientSu2,
    angles: &[f64],
    out: &mut [Complex64],
    cancel: &Cancel,
) -> Result<()> {
    for_each_set(ansatz, angles, out, cancel, |_, workspace, angles, out, run| {
        evolve(ansatz, angles, workspace, run)?;
        last_phases(ansatz, angles, workspace, run)?;
        let state = &workspace.state;
        let tasks = out
            .chunks_mut(TASK_AMPLITUDES)
            .zip(state.re.chunks(TASK_AMPLITUDES))
            .zip(state.im.chunks(TASK_AMPLITUDES));
        run.each(tasks, |((out, re), im)| reduce::interleave(run.level, out, re, im))
    })
}

/// The probabilities |<i|psi>|^2 of a batch of angles; `out` has 2^N entries per set.
pub fn probabilities(
    ansatz: &EfficientSu2,
    angles: &[f64],
    out: &mut [f64],
    cancel: &Cancel,
) -> Result<()> {
    for_each_set(ansatz, angles, out, cancel, |_, workspace, angles, out, run| {
        evolve(ansatz, angles, workspace, run)?;
        measure(workspace, out, run)
    })
}

/// An error if a batch does not fit in memory, its result of `result_bytes` per set included.
pub fn require_memory(ansatz: &EfficientSu2, sets: usize, result_bytes: u128) -> Result<()> {
    let dimension = ansatz.dimension();
    let side_by_side = if dimension < TEAM_AMPLITUDES { parallel::num_threads() } else { 1 };
    let workspaces = side_by_side.min(sets) as u128 * dimension as u128 * WORKSPACE_BYTES;
    memory::require(workspaces + sets as u128 * result_bytes, || {
        let batch = if sets == 1 { String::new() } else { format!(" for {sets} sets of angles") };
        format!("the state vector of {} qubits{batch}", ansatz.num_qubits())
    })
}

/// Evolves every set of a batch with `work(set, workspace, angles, out, run)`.
///
/// Small sets run side by side, one thread each; large ones run one after another, each with a
/// team. Which of the two depends on N and the batch alone.
pub fn for_each_set<T: Send>(
    ansatz: &EfficientSu2,
    angles: &[f64],
    out: &mut [T],
    cancel: &Cancel,
    work: impl Fn(usize, &mut Workspace, &[f64], &mut [T], Run<'_>) -> Result<()> + Sync,
) -> Result<()> {
    let dimension = ansatz.dimension();
    let sets = angles.len() / ansatz.num_parameters();
    if sets == 0 {
        return Ok(());
    }
    let row = out.len() / sets;
    let level = simd::level();
    let rows = angles.chunks_exact(ansatz.num_parameters()).zip(out.chunks_exact_mut(row));
    let one = |set: usize, angles: &[f64], out: &mut [T], team: Team| {
        cancel.check()?;
        let run = Run { level, team, cancel };
        with_workspace(dimension, |workspace| work(set, workspace, angles, out, run))
    };
    // A lone small set never leaves the calling thread.
    let amplitudes = if sets == 1 { dimension } else { dimension.saturating_mul(sets) };
    parallel::with_team(amplitudes, |team| {
        if dimension >= TEAM_AMPLITUDES {
            for (set, (angles, out)) in rows.enumerate() {
                one(set, angles, out, team)?;
            }
            return Ok(());
        }
        let rows: Vec<_> = rows.enumerate().collect();
        team.for_each(rows, |(set, (angles, out))| one(set, angles, out, Team::Solo))
    })
}

impl Run<'_> {
    /// Runs `work` over the tasks, on the team or in order.
    pub fn each<T: Send>(
        self,
        tasks: impl Iterator<Item = T>,
        work: impl Fn(T) + Sync,
    ) -> Result<()> {
        self.cancel.check()?;
        match self.team {
            Team::Solo => tasks.for_each(work),
            Team::Pool => self.team.for_each(tasks.collect::<Vec<_>>(), |task| {
                work(task);
                Ok(())
            })?,
        }
        Ok(())
    }
}

/// Leaves in `workspace` the state before the last RZ layer, which changes no probability.
fn evolve(
    ansatz: &EfficientSu2,
    angles: &[f64],
    workspace: &mut Workspace,
    run: Run<'_>,
) -> Result<()> {
    product_state(ansatz.layer(angles, 0).0, workspace);
    let mut diagonal = Diagonal::default();
    for block in 0..ansatz.reps() {
        diagonal.fill(ansatz.layer(angles, block).1);
        entangle_block(ansatz, block, &diagonal, workspace, run)?;
        rotate(ansatz.layer(angles, block + 1).0, workspace, run)?;
    }
    Ok(())
}

/// RY after the Hadamards leaves a product state: written down, not simulated.
fn product_state(ry: &[f64], workspace: &mut Workspace) {
    let state = &mut workspace.state;
    state.im.fill(0.0);
    state.re[0] = 1.0;
    for (qubit, &theta) in ry.iter().enumerate() {
        let HalfAngle { cos, sin } = HalfAngle::new(theta);
        let zero = (cos - sin) * std::f64::consts::FRAC_1_SQRT_2;
        let one = (cos + sin) * std::f64::consts::FRAC_1_SQRT_2;
        let (zeros, ones) = state.re[..2 << qubit].split_at_mut(1 << qubit);
        for (zeros, ones) in zeros.iter_mut().zip(ones) {
            *ones = *zeros * one;
            *zeros *= zero;
        }
    }
}

fn entangle_block(
    ansatz: &EfficientSu2,
    block: usize,
    diagonal: &Diagonal,
    workspace: &mut Workspace,
    run: Run<'_>,
) -> Result<()> {
    let entangler = ansatz.entangler(block);
    let row = diagonal.low.len();
    let rows_per_task = (TASK_AMPLITUDES / row).max(1);
    let old = &workspace.state;
    let new = &mut workspace.scratch;
    let tasks = new
        .re
        .chunks_mut(row * rows_per_task)
        .zip(new.im.chunks_mut(row * rows_per_task))
        .enumerate();
    run.each(tasks, |(task, (re, im))| {
        let rows = re.chunks_mut(row).zip(im.chunks_mut(row));
        for (index, (re, im)) in rows.enumerate() {
            let high_index = task * rows_per_task + index;
            entangle::gather(run.level, re, im, high_index, old, entangler, diagonal);
        }
    })?;
    workspace.swap();
    Ok(())
}

/// One layer of RY: the low qubits tile by tile in the cache, the high ones two per pass.
fn rotate(ry: &[f64], workspace: &mut Workspace, run: Run<'_>) -> Result<()> {
    let rotations: Vec<HalfAngle> = ry.iter().map(|&theta| HalfAngle::new(theta)).collect();
    let (low, high) = rotations.split_at(rotations.len().min(TILE_QUBITS));
    let state = &mut workspace.state;
    let tile = 1 << low.len();
    let tiles = state.re.chunks_mut(tile).chain(state.im.chunks_mut(tile));
    run.each(tiles, |tile| rotation::tile(run.level, tile, low))?;
    for (index, high) in high.chunks(2).enumerate() {
        let qubit = low.len() + 2 * index;
        for plane in [&mut state.re, &mut state.im] {
            rotate_high(plane, qubit, high, run)?;
        }
    }
    Ok(())
}

/// One or two neighbouring high qubits of a plane, cut into tasks across and along the groups.
fn rotate_high(
    plane: &mut [f64],
    qubit: usize,
    rotations: &[HalfAngle],
    run: Run<'_>,
) -> Result<()> {
    let piece = TASK_AMPLITUDES / 4;
    let group = (1 << rotations.len()) << qubit;
    if let &[lower, upper] = rotations {
        let tasks = plane.chunks_exact_mut(group).flat_map(|group| {
            let [p00, p01, p10, p11] = rotation::quarters(group).map(|part| part.chunks_mut(piece));
            p00.zip(p01).zip(p10.zip(p11))
        });
        run.each(tasks, |((p00, p01), (p10, p11))| {
            rotation::pair_of_qubits(run.level, [p00, p01, p10, p11], lower, upper);
        })
    } else {
        let tasks = plane.chunks_exact_mut(group).flat_map(|group| {
            let (zeros, ones) = group.split_at_mut(group.len() / 2);
            zeros.chunks_mut(piece).zip(ones.chunks_mut(piece))
        });
        run.each(tasks, |(zeros, ones)| {
            rotation::one_qubit(run.level, zeros, ones, rotations[0]);
        })
    }
}

fn last_phases(
    ansatz: &EfficientSu2,
    angles: &[f64],
    workspace: &mut Workspace,
    run: Run<'_>,
) -> Result<()> {
    let mut diagonal = Diagonal::default();
    diagonal.fill(ansatz.layer(angles, ansatz.reps()).1);
    let row = diagonal.low.len();
    let state = &mut workspace.state;
    let tasks = state.re.chunks_mut(row).zip(state.im.chunks_mut(row)).zip(&diagonal.high);
    run.each(tasks, |((re, im), &high)| {
        phase::apply(run.level, re, im, &diagonal.low, high);
    })
}

/// Writes the probabilities of the state in `workspace`.
fn measure(workspace: &Workspace, out: &mut [f64], run: Run<'_>) -> Result<()> {
    let tasks = out
        .chunks_mut(TASK_AMPLITUDES)
        .zip(workspace.state.re.chunks(TASK_AMPLITUDES))
        .zip(workspace.state.im.chunks(TASK_AMPLITUDES));
    run.each(tasks, |((out, re), im)| reduce::probabilities(run.level, out, re, im))
}

/// Runs `work` with the probabilities of one set, left in the workspace's scratch space.
pub fn with_probabilities<T>(
    ansatz: &EfficientSu2,
    angles: &[f64],
    workspace: &mut Workspace,
    run: Run<'_>,
    work: impl FnOnce(&mut [f64]) -> Result<T>,
) -> Result<T> {
    evolve(ansatz, angles, workspace, run)?;
    let mut out = std::mem::take(&mut workspace.scratch.re);
    let result = measure(workspace, &mut out, run).and_then(|()| work(&mut out));
    workspace.scratch.re = out;
    result
}
