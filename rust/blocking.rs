//! How the bits of a line number are split into passes, stages and steps.
//!
//! A *step* does up to three qubits at once, eight lines at a time. Steps whose lines fit together
//! in the first-level cache form a *stage*; stages whose lines fit together in the second-level
//! cache form a *pass*, which walks over the state once, tile by tile.

use std::ops::Range;

/// Qubits of one step.
pub const STEP_BITS: usize = 3;
/// log2 of the neighbouring lines that a tile of distant rows takes along, at least.
pub const COLUMN_BITS: usize = 2;
/// log2 of how many tiles of the first-level cache fit in the second-level one.
const LARGE_TILE_BITS: usize = 4;

/// The bits of each pass. `tile_bits` is log2 of the lines that fit in the first-level cache.
pub fn passes(line_bits: usize, tile_bits: usize) -> Vec<Range<usize>> {
    if line_bits <= tile_bits {
        return std::iter::once(0..line_bits).collect();
    }
    let large = tile_bits + LARGE_TILE_BITS;
    // Two passes, the second in tiles of the first-level cache if it can be.
    let rows = tile_bits - COLUMN_BITS;
    let first =
        (line_bits - STEP_BITS).min(tile_bits).max(line_bits.saturating_sub(rows)).min(large);
    let rest = line_bits - first;
    let count = rest.div_ceil(large - COLUMN_BITS);
    let cut = |pass: usize| first + rest * pass / count;
    std::iter::once(0..first).chain((0..count).map(|pass| cut(pass)..cut(pass + 1))).collect()
}

/// Neighbouring lines, as a power of two, that a tile of a pass takes along.
pub fn columns(bits: &Range<usize>, tile_bits: usize) -> usize {
    if bits.start == 0 {
        0
    } else {
        tile_bits.saturating_sub(bits.len()).max(COLUMN_BITS).min(bits.start)
    }
}

/// The bits of each stage of a pass: all, or two parts where a block would outgrow the cache.
pub fn stages(bits: &Range<usize>, tile_bits: usize) -> Vec<Range<usize>> {
    if bits.len() + columns(bits, tile_bits) <= tile_bits {
        return vec![bits.clone()];
    }
    let first = if bits.start == 0 { tile_bits } else { bits.len().div_ceil(2) };
    vec![bits.start..bits.start + first, bits.start + first..bits.end]
}

/// The bits of each step of a stage, `step_bits` at most: as few steps as can be, the larger ones first and last.
pub fn steps(bits: &Range<usize>, step_bits: usize) -> Vec<Range<usize>> {
    let count = bits.len().div_ceil(step_bits);
    let cut = |step: usize| bits.len() * step / count;
    let mut sizes: Vec<_> = (0..count).map(|step| cut(step + 1) - cut(step)).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    if count > 2 {
        let large = sizes.remove(1);
        sizes.push(large);
    }
    let mut end = bits.start;
    let ranges = sizes.into_iter().map(|size| {
        end += size;
        end - size..end
    });
    ranges.collect()
}
