//! The programs of [`Walks`], forward and back: block of layers by block, tile by tile.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, TryLockError};

use crate::buffer::Buffer;
use crate::circuit::{Circuit, Plan};
use crate::error::Result;
use crate::evolve::Run;
use crate::kernels::products::{Products, Sums};
use crate::kernels::read::Source;
use crate::kernels::sweep::{Finish, Sweep};
use crate::kernels::unphase::Unphase;
use crate::layer::{Layer, LayerAngles};
use crate::memory;
use crate::simd::Real;
use crate::simd::math::HalfAngles;
use crate::state::Workspace;
use crate::view::View;
use crate::walk::{Op, Walk, Walks};

/// Most tasks of a walk: fixed, so that no sum over tiles depends on who does the work.
const CHUNKS: usize = 256;

/// Places in the cache for tiles, as many as can be at work at once.
struct Rooms<R> {
    rooms: Vec<Mutex<Buffer<R>>>,
    /// Numbers of one.
    length: usize,
}

impl<R: Real> Rooms<R> {
    /// Rooms for `tiles` tiles of any of these walks, for whoever is at work.
    fn new(walks: &Walks, tiles: usize, run: Run<'_>) -> Result<Self> {
        let length = walks.tile_length().next_multiple_of(64);
        let rooms = (0..run.team.size()).map(|_| Ok(Mutex::new(Buffer::new(tiles * length)?)));
        Ok(Self { rooms: rooms.collect::<Result<_>>()?, length })
    }

    /// A room that nobody is in.
    fn free(&self) -> MutexGuard<'_, Buffer<R>> {
        loop {
            for room in &self.rooms {
                match room.try_lock() {
                    Ok(room) => return room,
                    // Who was in it panicked; nobody reads what is left there.
                    Err(TryLockError::Poisoned(room)) => return room.into_inner(),
                    Err(TryLockError::WouldBlock) => {}
                }
            }
            std::thread::yield_now();
        }
    }

    /// Runs `work(room, tiles, part)` over all tiles of a walk, as many at a time as there are parts.
    fn over_tiles<const N: usize, T: Send>(
        &self,
        walk: &Walk,
        run: Run<'_>,
        parts: impl ExactSizeIterator<Item = T>,
        work: impl Fn([View<'_, R>; N], Range<usize>, T) + Sync,
    ) -> Result<()> {
        let (tiles, chunks) = (walk.tiles.len(), parts.len());
        let parts = memory::collected(parts.enumerate())?;
        run.team.for_each(parts, |(chunk, part)| {
            run.cancel.check()?;
            let room = self.free();
            let tile = |tile| room.view().part(tile * self.length, self.length);
            work(
                std::array::from_fn(tile),
                chunk * tiles / chunks..(chunk + 1) * tiles / chunks,
                part,
            );
            Ok(())
        })
    }
}

impl Walk {
    /// Copies a tile out of the state into a room.
    fn load<R: Copy>(&self, tile: View<'_, R>, room: View<'_, R>) {
        for &[local, global] in &self.runs {
            tile.part(global, self.run).copy_to(room.part(local, self.run));
        }
    }

    /// Copies a tile from its room back to the state.
    fn store<R: Copy>(&self, room: View<'_, R>, tile: View<'_, R>) {
        for &[local, global] in &self.runs {
            room.part(local, self.run).copy_to(tile.part(global, self.run));
        }
    }
}

/// Room for the layers of a walk's operations.
fn layers<R: Real>(walk: &Walk) -> Result<Vec<Layer<R>>> {
    memory::collected(walk.ops.iter().map(|_| Layer::default()))
}

/// All layers after the first; leaves the workspace as [`crate::evolve::evolve`] does, and returns
/// the quarter turns.
pub(crate) fn forward<R: Real>(
    circuit: &Circuit,
    plan: &Plan,
    walks: &Walks,
    workspace: &mut Workspace<R>,
    run: Run<'_>,
) -> Result<usize> {
    let (reps, qubits) = (circuit.reps(), circuit.num_qubits());
    let frames = circuit.frames(&workspace.angles)?;
    let rooms = Rooms::new(walks, 2, run)?;
    let mut turns = 0;
    for (first, walks) in walks.blocks() {
        for walk in walks {
            let mut layers = layers(walk)?;
            for (op, layer) in walk.ops.iter().zip(&mut layers) {
                let number = first + op.layer;
                let angles = LayerAngles::new(&workspace.angles, number, qubits).of(&op.qubits);
                layer.fill(
                    walk.layout,
                    op.split,
                    angles,
                    op.frame(frames[number][0]),
                    run.level,
                )?;
                turns += layer.quarter_turns;
            }
            let state = workspace.state.view();
            let chunks = CHUNKS.min(walk.tiles.len());
            rooms.over_tiles(walk, run, std::iter::repeat_n((), chunks), |room, tiles, ()| {
                for &start in &walk.tiles.places[tiles] {
                    let tile = state.from(start);
                    let (mut from, [mut to, mut other]) = (tile, room);
                    if !walk.direct {
                        walk.load(tile, to);
                        (from, to, other) = (to, other, to);
                    }
                    for (op, layer) in walk.ops.iter().zip(&layers) {
                        let last = first + op.layer == reps;
                        run.level.run(Sweep {
                            pass: &op.schedule.passes[0],
                            layer,
                            state: to,
                            source: Some(Source { state: from, gather: &op.gather }),
                            finish: if last { Finish::Rotations } else { Finish::Phases },
                            kept: None,
                            tiles: 0..1,
                        });
                        from = to;
                        std::mem::swap(&mut to, &mut other);
                    }
                    walk.store(from, tile);
                }
            })?;
        }
    }
    let angles = LayerAngles::new(&workspace.angles, reps, qubits);
    workspace.layer.fill(plan.layout, plan.split, angles, frames[reps][0], run.level)?;
    Ok(turns)
}

/// Takes the state and the adjoint back from the last layer to the first, and adds up every layer's
/// products of the two on the way. Both are used up.
pub(crate) fn backward<R: Real>(
    circuit: &Circuit,
    walks: &Walks,
    angles: &HalfAngles,
    frames: &[[usize; 2]],
    [state, adjoint]: [&mut Buffer<R>; 2],
    run: Run<'_>,
) -> Result<Vec<Sums>> {
    let rooms = Rooms::new(walks, 4, run)?;
    let mut totals = memory::filled(circuit.reps() + 1, Sums::default())?;
    let both = [&*state, &*adjoint].map(Buffer::view);
    for (first, walks) in walks.blocks().rev() {
        for (index, walk) in walks.iter().enumerate().rev() {
            let way = Way::new(circuit, walk, first, angles, frames, run)?;
            let parts = walk.ops.len() + 1;
            let mut sums = memory::filled(CHUNKS.min(walk.tiles.len()) * parts, Sums::default())?;
            // Nobody reads the first layer's state.
            let over = first == 1 && index == 0;
            rooms.over_tiles(walk, run, sums.chunks_exact_mut(parts), |room, tiles, sums| {
                for &start in &walk.tiles.places[tiles] {
                    let tiles = both.map(|state| state.from(start));
                    way.tile(tiles, room, sums, run);
                    if !over {
                        let last = walk.ops.len() % 2;
                        for (half, tile) in tiles.into_iter().enumerate() {
                            walk.store(room[2 * half + last], tile);
                        }
                    }
                }
            })?;
            for sums in sums.chunks_exact(parts) {
                let ops = walk.ops.iter().map(|op| (first + op.layer, op, way.excess));
                let all = ops.chain([(0, &walk.start, 1.0)]);
                for (sums, (number, op, excess)) in sums.iter().zip(all) {
                    for (own, qubit) in op.qubits.iter().enumerate() {
                        if let Some(qubit) = *qubit {
                            totals[number].ry[qubit] += sums.ry[own] / excess;
                            totals[number].rz[qubit] += sums.rz[own] / excess;
                        }
                    }
                }
            }
        }
    }
    Ok(totals)
}

/// The way back through a walk.
struct Way<'a, R> {
    walk: &'a Walk,
    /// Inverse layers, by operation.
    layers: Vec<Layer<R>>,
    /// The first layer of the circuit, in the block that starts with it.
    start: Option<Layer<R>>,
    /// What the states' products are too large by, as the first operation's scale comes early.
    excess: f64,
}

impl<'a, R: Real> Way<'a, R> {
    fn new(
        circuit: &Circuit,
        walk: &'a Walk,
        first: usize,
        angles: &HalfAngles,
        frames: &[[usize; 2]],
        run: Run<'_>,
    ) -> Result<Self> {
        let qubits = circuit.num_qubits();
        let mut layers = layers::<R>(walk)?;
        let angles = |op: &'a Op, number| LayerAngles::new(angles, number, qubits).of(&op.qubits);
        for (op, layer) in walk.ops.iter().zip(&mut layers) {
            let number = first + op.layer;
            let frame = op.frame(frames[number][0]);
            layer.fill_inverse_rotations(walk.layout, angles(op, number), frame);
        }
        let scales = memory::collected(layers.iter().map(|layer| layer.scale))?;
        for (index, (op, layer)) in walk.ops.iter().zip(&mut layers).enumerate() {
            let number = first + op.layer;
            // The rotations of the operation after this one are undone before its phases are.
            let scale = *scales.get(index + 1).unwrap_or(&scales[0]);
            if number == circuit.reps() {
                layer.fill_scale(walk.layout, scale, run.level)?;
            } else {
                let frames = frames[number].map(|frame| op.frame(frame));
                let angles = angles(op, number);
                layer.fill_inverse_phases(walk.layout, angles, frames, scale, run.level)?;
            }
        }
        let mut start = (first == 1).then(Layer::default);
        if let Some(start) = &mut start {
            let angles = angles(&walk.start, 0);
            start.fill_inverse_phases(walk.layout, angles, [0, 0], 1.0, run.level)?;
        }
        Ok(Self { walk, layers, start, excess: scales[0] * scales[0] })
    }

    /// Takes one tile of both states back; `room[0]` and `room[2]` hold them after an even number of
    /// operations, else the rooms after these.
    fn tile(
        &self,
        states: [View<'_, R>; 2],
        room: [View<'_, R>; 4],
        sums: &mut [Sums],
        run: Run<'_>,
    ) {
        let Self { walk, layers, start, .. } = self;
        let undo = |op: &Op, source: Source<'_, R>, by: Option<&Layer<R>>, to: View<'_, R>| {
            run.level.run(Unphase {
                pass: &op.schedule.passes[0],
                source,
                phases: by.map(|layer| &layer.phases),
                state: to,
                tiles: 0..1,
            });
        };
        let last = walk.ops.len() - 1;
        let [mut from, mut to] = [[room[0], room[2]], [room[1], room[3]]];
        for (state, to) in states.into_iter().zip(from) {
            let source = Source { state, gather: &walk.whole };
            undo(&walk.ops[last], source, Some(&layers[last]), to);
        }
        for (index, op) in walk.ops.iter().enumerate().rev() {
            sums[index].add(&products(walk, op, from, run));
            let before = if index > 0 { Some(&layers[index - 1]) } else { start.as_ref() };
            for (from, to) in from.into_iter().zip(to) {
                run.level.run(Sweep {
                    pass: &op.schedule.passes[0],
                    layer: &layers[index],
                    state: from,
                    source: None,
                    finish: Finish::Open,
                    kept: None,
                    tiles: 0..1,
                });
                let source = Source { state: from, gather: &op.inverse };
                undo(op, source, before, to);
            }
            std::mem::swap(&mut from, &mut to);
        }
        if start.is_some() {
            sums[last + 1].add(&products(walk, &walk.start, from, run));
        }
    }
}

/// The products of a tile of the state and of the adjoint.
fn products<R: Real>(
    walk: &Walk,
    op: &Op,
    [state, adjoint]: [View<'_, R>; 2],
    run: Run<'_>,
) -> Sums {
    let mut sums = Sums::default();
    run.level.run(Products {
        pass: &op.products.passes[0],
        first: true,
        lanes: op.qubits[walk.layout.line_bits..].iter().any(Option::is_some),
        line_bits: walk.layout.line_bits,
        adjoint,
        state,
        chunks: 0..1,
        sums: View::of(std::slice::from_mut(&mut sums)),
    });
    sums
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_room_whose_guest_panicked_is_free() {
        let rooms = Rooms::<f64> { rooms: vec![Mutex::new(Buffer::empty())], length: 0 };
        let left = catch_unwind(AssertUnwindSafe(|| {
            let _room = rooms.free();
            panic!("a tile that cannot be");
        }));
        assert!(left.is_err());
        drop(rooms.free());
    }
}
