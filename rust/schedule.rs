//! In which order the butterflies of a layer visit the lines.

use std::ops::Range;

use crate::blocking::{self, STEP_BITS};
use crate::error::Result;
use crate::layout::Layout;
use crate::memory;

/// Lines that start tiles, blocks or runs: line numbers and places.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    /// Line numbers.
    pub numbers: Vec<usize>,
    /// Their places.
    pub places: Vec<usize>,
}

impl Lines {
    /// All combinations of the given bits, the first bit running fastest.
    pub(crate) fn span(layout: Layout, bits: impl Iterator<Item = usize>) -> Result<Self> {
        let mut numbers = vec![0];
        for bit in bits {
            let length = numbers.len();
            memory::reserve(&mut numbers, length)?;
            for index in 0..length {
                numbers.push(numbers[index] | 1 << bit);
            }
        }
        let places = memory::collected(numbers.iter().map(|&line| layout.place(line)))?;
        Ok(Self { numbers, places })
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there are none: never.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }
}

/// Butterflies on a few neighbouring bits of the line number, over one block.
#[derive(Debug, Clone)]
pub struct Step {
    /// The bits.
    pub bits: Range<usize>,
    /// Whether the lane qubits are turned as well.
    pub lanes: bool,
    /// Numbers between the lines of a butterfly.
    pub stride: usize,
    /// Where runs of butterflies start.
    pub runs: Lines,
    /// Butterflies of a run: they start at neighbouring lines (in a layer's first step, whose bits
    /// are the lowest, at every eighth).
    pub run: usize,
    /// Numbers from one of them to the next.
    pub advance: usize,
}

/// Steps over blocks that fit in the first-level cache.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Where the blocks of a tile start.
    pub blocks: Lines,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// One walk over the state.
#[derive(Debug, Clone)]
pub struct Pass {
    /// Where the tiles start.
    pub tiles: Lines,
    /// The stages, in order.
    pub stages: Vec<Stage>,
}

/// The passes of one layer: the first step is the first step of the first pass, and so on.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The layout that it is made for.
    pub layout: Layout,
    /// The passes, in order.
    pub passes: Vec<Pass>,
    /// The first stage's block: all lines that differ in so many low bits alone.
    pub block_bits: usize,
}

impl Schedule {
    /// The schedule of a layout.
    pub fn new(layout: Layout) -> Result<Self> {
        Self::with_tiles(layout, layout.tile_bits, STEP_BITS)
    }

    /// The schedule of a layout for work on two states at once.
    pub fn for_two_states(layout: Layout) -> Result<Self> {
        // Two states in a step of three bits are more vectors than AVX2 has registers.
        Self::with_tiles(layout, layout.tile_bits, 2)
    }

    fn with_tiles(layout: Layout, tile_bits: usize, step_bits: usize) -> Result<Self> {
        let passes = blocking::passes(layout.line_bits, tile_bits);
        let passes = passes.iter().map(|bits| Pass::new(layout, tile_bits, step_bits, bits));
        let mut passes: Vec<_> = passes.collect::<Result<_>>()?;
        *lane_step(&mut passes) = true;
        let block_bits = passes[0].stages[0].steps.iter().map(|step| step.bits.len()).sum();
        Ok(Self { layout, passes, block_bits })
    }

    /// The schedule of a tile of which the qubits `active` are turned, and with `lanes` those in the
    /// lanes: one pass, whose first stage reads the tile block by block.
    pub fn of_tile(layout: Layout, active: &Range<usize>, lanes: bool) -> Result<Self> {
        let mut schedule = Self::tile(layout, active, STEP_BITS)?;
        if lanes {
            *lane_step(&mut schedule.passes) = true;
        }
        Ok(schedule)
    }

    /// The same for work on two states at once, which always starts with the lowest lines, be it
    /// without a bit of theirs.
    pub fn of_two_tiles(layout: Layout, active: &Range<usize>) -> Result<Self> {
        let mut schedule = Self::tile(layout, active, 2)?;
        let (block_bits, stage) = (schedule.block_bits, &mut schedule.passes[0].stages[0]);
        if stage.steps.first().is_none_or(|step| step.bits.start > 0) {
            let block: Vec<_> = (0..block_bits).collect();
            stage.steps.insert(0, Step::new(layout, 0..0, &block)?);
        }
        Ok(schedule)
    }

    fn tile(layout: Layout, active: &Range<usize>, step_bits: usize) -> Result<Self> {
        let block_bits = layout.tile_bits.min(layout.line_bits);
        let tile = Lines::span(layout, std::iter::empty())?;
        let near = active.start.min(block_bits)..active.end.min(block_bits);
        let mut stages = vec![Stage::new(layout, step_bits, &near, block_bits)?];
        let far = active.start.max(block_bits)..active.end;
        if !far.is_empty() {
            stages.push(Stage::new(layout, step_bits, &far, layout.tile_bits - far.len())?);
        }
        Ok(Self { layout, passes: vec![Pass { tiles: tile, stages }], block_bits })
    }

    /// The last step, which the phases join.
    pub fn last_step(&self) -> Option<&Step> {
        self.passes.last()?.stages.last()?.steps.last()
    }
}

/// The step that turns the lane qubits: one between the first and the last that has little else to
/// do, or the last.
fn lane_step(passes: &mut [Pass]) -> &mut bool {
    let mut steps: Vec<_> = passes
        .iter_mut()
        .flat_map(|pass| &mut pass.stages)
        .flat_map(|stage| &mut stage.steps)
        .collect();
    let last = steps.len() - 1;
    let light = (1..last).find(|&step| steps[step].bits.len() < STEP_BITS);
    &mut steps.swap_remove(light.unwrap_or(last)).lanes
}

impl Pass {
    fn new(
        layout: Layout,
        tile_bits: usize,
        step_bits: usize,
        bits: &Range<usize>,
    ) -> Result<Self> {
        let line_bits = layout.line_bits;
        let columns = blocking::columns(bits, tile_bits);
        let tile = |bit: &usize| *bit < columns || bits.contains(bit);
        let tiles = Lines::span(layout, (0..line_bits).filter(|bit| !tile(bit)))?;
        let mut stages = vec![];
        for active in blocking::stages(bits, tile_bits) {
            // A stage of distant rows takes neighbouring lines along too, as many as fit.
            let taken = if active == *bits { columns } else { tile_bits - active.len() };
            let block: Vec<_> = (0..line_bits)
                .filter(tile)
                .filter(|bit| active.contains(bit) || *bit < taken)
                .collect();
            let blocks = (0..line_bits).filter(|bit| tile(bit) && !block.contains(bit));
            let steps = layout
                .even_ranges(&active)
                .into_iter()
                .flat_map(|bits| blocking::steps(&bits, step_bits));
            stages.push(Stage {
                blocks: Lines::span(layout, blocks)?,
                steps: steps.map(|bits| Step::new(layout, bits, &block)).collect::<Result<_>>()?,
            });
        }
        Ok(Self { tiles, stages })
    }
}

impl Stage {
    /// The stage of a tile that turns `active`, in blocks of these and of the lowest `taken` bits.
    fn new(layout: Layout, step_bits: usize, active: &Range<usize>, taken: usize) -> Result<Self> {
        let within = |bit: &usize| active.contains(bit) || *bit < taken;
        let block: Vec<_> = (0..layout.line_bits).filter(within).collect();
        let blocks = (0..layout.line_bits).filter(|bit| !within(bit));
        let ranges = layout.even_ranges(active).into_iter();
        let steps = ranges.flat_map(|bits| blocking::steps(&bits, step_bits));
        let steps = steps.map(|bits| Step::new(layout, bits, &block));
        Ok(Self { blocks: Lines::span(layout, blocks)?, steps: steps.collect::<Result<_>>()? })
    }
}

impl Step {
    fn new(layout: Layout, bits: Range<usize>, block: &[usize]) -> Result<Self> {
        let others: Vec<_> = block.iter().copied().filter(|bit| !bits.contains(bit)).collect();
        // Others that follow each other from the lowest on make a run.
        let lowest = if bits.start == 0 { bits.end } else { 0 };
        let in_run =
            others.iter().enumerate().take_while(|&(index, &bit)| bit == lowest + index).count();
        Ok(Self {
            lanes: false,
            stride: layout.strides[bits.start],
            runs: Lines::span(layout, others[in_run..].iter().copied())?,
            run: 1 << in_run,
            advance: layout.line_length() << lowest,
            bits,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Level;

    /// Every line that a step of a pass touches, in order.
    fn visited(pass: &Pass, stage: &Stage, step: &Step) -> Vec<usize> {
        let mut places = vec![];
        for tile in &pass.tiles.places {
            for block in &stage.blocks.places {
                for start in &step.runs.places {
                    for index in 0..step.run {
                        let start = tile + block + start + index * step.advance;
                        places.extend((0..1 << step.bits.len()).map(|j| start + j * step.stride));
                    }
                }
            }
        }
        places
    }

    #[test]
    fn every_step_visits_every_line_once() {
        for level in Level::available() {
            for qubits in 1..=19 {
                let layout = Layout::new::<f64>(qubits, level);
                let lines = (0..1 << layout.line_bits).map(|line| layout.place(line));
                let lines: Vec<_> = lines.collect();
                let mut bits = vec![];
                for pass in &Schedule::new(layout).unwrap().passes {
                    for stage in &pass.stages {
                        for step in &stage.steps {
                            bits.extend(step.bits.clone());
                            let mut places = visited(pass, stage, step);
                            places.sort_unstable();
                            assert_eq!(places, lines);
                        }
                    }
                }
                assert_eq!(bits, (0..layout.line_bits).collect::<Vec<_>>());
            }
        }
    }
}
