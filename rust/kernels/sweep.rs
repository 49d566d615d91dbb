//! One pass of a layer over a range of its tiles.

use std::ops::Range;

use crate::kernels::butterfly::middle_step;
use crate::kernels::finish::last_step;
use crate::kernels::first::first_step;
use crate::kernels::read::{Source, gather_block};
use crate::layer::Layer;
use crate::schedule::{Pass, Stage, Step};
use crate::simd::{Kernel, Lanes, Real};

/// What a layer does after its last rotation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Nothing: this pass is not the last.
    Open,
    /// The lane rotations alone.
    Rotations,
    /// The lane rotations, then the phases.
    Phases,
}

/// One pass over some tiles.
pub struct Sweep<'a, R> {
    /// The pass.
    pub pass: &'a Pass,
    /// The layer.
    pub layer: &'a Layer<R>,
    /// The state.
    pub state: *mut R,
    /// Where the first step reads, in a layer's first pass.
    pub source: Option<Source<'a, R>>,
    /// How the last step ends.
    pub finish: Finish,
    /// Where the state before the phases is kept as well.
    pub kept: Option<*mut R>,
    /// The tiles.
    pub tiles: Range<usize>,
}

impl<R: Real> Kernel<R> for Sweep<'_, R> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes<Real = R>>(self) {
        let pass = self.pass;
        for tile in self.tiles.clone() {
            for (stage_index, stage) in pass.stages.iter().enumerate() {
                let last_stage = stage_index + 1 == pass.stages.len();
                let lone = stage.steps.len() == 1 && last_stage;
                for block in 0..stage.blocks.len() {
                    let mut steps = &stage.steps[..];
                    if let (Some(source), 0) = (&self.source, stage_index) {
                        // SAFETY: the promises of this kernel's maker and of the caller.
                        unsafe {
                            if source.gather.uniform && !lone {
                                let place = Place { tile, block, stage, step: &steps[0] };
                                match steps[0].bits.len() {
                                    1 => self.first::<V, 2>(source, place),
                                    2 => self.first::<V, 4>(source, place),
                                    _ => self.first::<V, 8>(source, place),
                                }
                                steps = &steps[1..];
                            } else {
                                self.read::<V>(source, tile, block);
                            }
                        }
                    }
                    for (index, step) in steps.iter().enumerate() {
                        let place = Place { tile, block, stage, step };
                        let last = last_stage && index + 1 == steps.len();
                        // SAFETY: the promises of this kernel's maker and of the caller.
                        unsafe {
                            if last && self.finish != Finish::Open {
                                match step.bits.len() {
                                    1 => self.last::<V, 2>(place),
                                    2 => self.last::<V, 4>(place),
                                    _ => self.last::<V, 8>(place),
                                }
                            } else {
                                match step.bits.len() {
                                    1 => self.middle::<V, 2>(place),
                                    2 => self.middle::<V, 4>(place),
                                    _ => self.middle::<V, 8>(place),
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Which step of which block.
#[derive(Clone, Copy)]
struct Place<'a> {
    tile: usize,
    block: usize,
    stage: &'a Stage,
    step: &'a Step,
}

impl<R: Real> Sweep<'_, R> {
    /// Place of a block's first line.
    #[inline(always)]
    fn start(&self, place: Place<'_>) -> usize {
        self.pass.tiles.places[place.tile] + place.stage.blocks.places[place.block]
    }

    #[inline(always)]
    unsafe fn first<V: Lanes<Real = R>, const J: usize>(
        &self,
        source: &Source<'_, R>,
        place: Place<'_>,
    ) {
        let gather = source.gather;
        let from = gather.tiles[place.tile] ^ gather.blocks[place.block];
        // SAFETY: the caller's promise.
        unsafe {
            let block = self.state.add(self.start(place));
            first_step::<V, J>(block, source, from, place.step, self.layer);
        }
    }

    #[inline(always)]
    unsafe fn read<V: Lanes<Real = R>>(&self, source: &Source<'_, R>, tile: usize, block: usize) {
        let gather = source.gather;
        let from = gather.tiles[tile] ^ gather.blocks[block];
        let start = self.pass.tiles.places[tile] + self.pass.stages[0].blocks.places[block];
        // SAFETY: the caller's promise.
        unsafe { gather_block::<V>(self.state.add(start), source, from) };
    }

    #[inline(always)]
    unsafe fn middle<V: Lanes<Real = R>, const J: usize>(&self, place: Place<'_>) {
        // SAFETY: the caller's promise.
        unsafe {
            let block = self.state.add(self.start(place));
            if place.step.lanes {
                middle_step::<V, J, true>(block, place.step, self.layer);
            } else {
                middle_step::<V, J, false>(block, place.step, self.layer);
            }
        }
    }

    #[inline(always)]
    unsafe fn last<V: Lanes<Real = R>, const J: usize>(&self, place: Place<'_>) {
        let (start, step, layer) = (self.start(place), place.step, self.layer);
        let number = self.pass.tiles.numbers[place.tile] + place.stage.blocks.numbers[place.block];
        // SAFETY: the caller's promise; without `kept` nothing is written there.
        unsafe {
            let block = self.state.add(start);
            match (self.finish == Finish::Phases, self.kept) {
                (true, None) => {
                    last_step::<V, J, true, false>(block, block, number, step, layer);
                }
                (false, None) => {
                    last_step::<V, J, false, false>(block, block, number, step, layer);
                }
                (true, Some(kept)) => {
                    last_step::<V, J, true, true>(block, kept.add(start), number, step, layer);
                }
                (false, Some(kept)) => {
                    last_step::<V, J, false, true>(block, kept.add(start), number, step, layer);
                }
            }
        }
    }
}
