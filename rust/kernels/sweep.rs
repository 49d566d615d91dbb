//! One pass of a layer over a range of its tiles.

use std::ops::Range;

use crate::kernels::butterfly::middle_step;
use crate::kernels::finish::last_step;
use crate::kernels::first::first_step;
use crate::kernels::read::{Source, gather_block};
use crate::layer::Layer;
use crate::schedule::{Pass, Stage, Step};
use crate::simd::{Cpu, Kernel, Lanes, Real};
use crate::view::View;

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
    pub state: View<'a, R>,
    /// Where the first step reads, in a layer's first pass.
    pub source: Option<Source<'a, R>>,
    /// How the last step ends.
    pub finish: Finish,
    /// Where the state before the phases is kept as well.
    pub kept: Option<View<'a, R>>,
    /// The tiles.
    pub tiles: Range<usize>,
}

impl<R: Real> Kernel<R> for Sweep<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) {
        let pass = self.pass;
        for tile in self.tiles.clone() {
            for (stage_index, stage) in pass.stages.iter().enumerate() {
                let last_stage = stage_index + 1 == pass.stages.len();
                let lone = stage.steps.len() == 1 && last_stage;
                for block in 0..stage.blocks.len() {
                    let mut steps = &stage.steps[..];
                    if let (Some(source), 0) = (&self.source, stage_index) {
                        if source.gather.uniform && !lone {
                            let place = Place { tile, block, stage, step: &steps[0] };
                            match steps[0].bits.len() {
                                1 => self.first::<V, 2>(cpu, source, place),
                                2 => self.first::<V, 4>(cpu, source, place),
                                _ => self.first::<V, 8>(cpu, source, place),
                            }
                            steps = &steps[1..];
                        } else {
                            self.read(cpu, source, tile, block);
                        }
                    }
                    for (index, step) in steps.iter().enumerate() {
                        let place = Place { tile, block, stage, step };
                        let last = last_stage && index + 1 == steps.len();
                        if last && self.finish != Finish::Open {
                            match step.bits.len() {
                                1 => self.last::<V, 2>(cpu, place),
                                2 => self.last::<V, 4>(cpu, place),
                                _ => self.last::<V, 8>(cpu, place),
                            }
                        } else {
                            match step.bits.len() {
                                1 => self.middle::<V, 2>(cpu, place),
                                2 => self.middle::<V, 4>(cpu, place),
                                _ => self.middle::<V, 8>(cpu, place),
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
    fn first<V: Lanes<Real = R>, const J: usize>(
        &self,
        cpu: Cpu<V>,
        source: &Source<'_, R>,
        place: Place<'_>,
    ) {
        let gather = source.gather;
        let from = gather.tiles[place.tile] ^ gather.blocks[place.block];
        let to = (self.state, self.start(place));
        first_step::<V, J>(cpu, to, source, from, (place.step, self.layer));
    }

    #[inline(always)]
    fn read<V: Lanes<Real = R>>(
        &self,
        cpu: Cpu<V>,
        source: &Source<'_, R>,
        tile: usize,
        block: usize,
    ) {
        let gather = source.gather;
        let from = gather.tiles[tile] ^ gather.blocks[block];
        let start = self.pass.tiles.places[tile] + self.pass.stages[0].blocks.places[block];
        gather_block(cpu, (self.state, start), source, from);
    }

    #[inline(always)]
    fn middle<V: Lanes<Real = R>, const J: usize>(&self, cpu: Cpu<V>, place: Place<'_>) {
        let (start, step, layer) = (self.start(place), place.step, self.layer);
        if step.lanes {
            middle_step::<V, J, true>(cpu, self.state, start, step, layer);
        } else {
            middle_step::<V, J, false>(cpu, self.state, start, step, layer);
        }
    }

    #[inline(always)]
    fn last<V: Lanes<Real = R>, const J: usize>(&self, cpu: Cpu<V>, place: Place<'_>) {
        let (step, layer) = (place.step, self.layer);
        let number = self.pass.tiles.numbers[place.tile] + place.stage.blocks.numbers[place.block];
        let at = [self.start(place), number];
        // Without `kept` nothing is written there.
        let to = [self.state, self.kept.unwrap_or(self.state)];
        match (self.finish == Finish::Phases, self.kept.is_some()) {
            (true, false) => last_step::<V, J, true, false>(cpu, to, at, step, layer),
            (false, false) => last_step::<V, J, false, false>(cpu, to, at, step, layer),
            (true, true) => last_step::<V, J, true, true>(cpu, to, at, step, layer),
            (false, true) => last_step::<V, J, false, true>(cpu, to, at, step, layer),
        }
    }
}
