//! Where an amplitude lies in memory.
//!
//! A *line* holds the amplitudes of one value of the low qubits and every value of the top
//! `lane_bits` qubits: first their real parts, one vector, then their imaginary parts. With the
//! top qubits in the lanes, CNOTs that run upwards never move an amplitude from one line into
//! several: a line is renamed, its lanes are permuted.
//!
//! Lines lie in the order of their numbers, with a few unused ones at the boundaries of blocks: a
//! column of blocks, whose stride would be a large power of two, spreads over the sets of a cache.

use crate::blocking::{self, COLUMN_BITS};
use crate::simd::{Level, Real};

/// Fewest lines, as a power of two: a layer has at least a first and a last step.
const MIN_LINE_BITS: usize = 2;
/// Bytes of a tile for the first-level cache: half of a small one.
const TILE_BYTES: usize = 16 << 10;
/// Bytes of the shortest line: two vectors of 128 bits.
const LEAST_LINE_BYTES: usize = 32;
/// Most lines of a block that a stage works on at once.
pub const MAX_BLOCK_LINES: usize = TILE_BYTES / LEAST_LINE_BYTES;

/// log2 of the lines of a tile for the first-level cache.
fn tile_bits<R: Real>(lane_bits: usize) -> usize {
    (TILE_BYTES / (size_of::<R>() << (lane_bits + 1))).ilog2() as usize
}

/// The layout of a state vector for one precision and one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Qubits of the circuit, N.
    pub num_qubits: usize,
    /// log2 of the lanes of a vector.
    pub lane_bits: usize,
    /// log2 of the number of lines. Qubits beyond N, if any, stay in |0>.
    pub line_bits: usize,
    /// log2 of the lines of a tile that fits in a first-level cache.
    pub tile_bits: usize,
    /// Distance, in numbers, between lines that differ in one bit of their number.
    pub strides: [usize; 32],
}

impl Layout {
    /// The layout of `num_qubits` qubits.
    pub fn new<R: Real>(num_qubits: usize, level: Level) -> Self {
        let lane_bits = level.lane_bits::<R>();
        let line_bits = num_qubits.saturating_sub(lane_bits).max(MIN_LINE_BITS);
        let tile_bits = tile_bits::<R>(lane_bits);
        let mut starts: Vec<usize> = blocking::passes(line_bits, tile_bits)
            .iter()
            .flat_map(|pass| blocking::stages(pass, tile_bits))
            .map(|stage| stage.start)
            .collect();
        starts.retain(|&start| start > 0);
        Self::padded::<R>(num_qubits, line_bits, tile_bits, lane_bits, &starts)
    }

    /// The layout of a tile of `line_bits` bits, which steps through it in blocks for the first-level
    /// cache.
    pub fn of_tile<R: Real>(line_bits: usize, level: Level) -> Self {
        let lane_bits = level.lane_bits::<R>();
        let tile_bits = tile_bits::<R>(lane_bits);
        let starts = if line_bits > tile_bits { &[tile_bits][..] } else { &[] };
        Self::padded::<R>(line_bits + lane_bits, line_bits, tile_bits, lane_bits, starts)
    }

    fn padded<R: Real>(
        num_qubits: usize,
        line_bits: usize,
        tile_bits: usize,
        lane_bits: usize,
        starts: &[usize],
    ) -> Self {
        // As many bytes as a column of lines of 64 has, also where lines are longer.
        let line_bytes = size_of::<R>() << (lane_bits + 1);
        let column_bits = COLUMN_BITS - (line_bytes / 64).max(1).ilog2() as usize;
        let mut strides = [0; 32];
        for (bit, stride) in strides.iter_mut().enumerate().take(line_bits) {
            let padding = starts.iter().filter(|&&start| start <= bit);
            let padding: usize = padding.map(|&start| 1 << (bit - start + column_bits)).sum();
            *stride = ((1 << bit) + padding) << (lane_bits + 1);
        }
        Self { num_qubits, lane_bits, line_bits, tile_bits, strides }
    }

    /// Qubits with those beyond N.
    pub fn padded_qubits(self) -> usize {
        self.line_bits + self.lane_bits
    }

    /// Numbers in the storage of a state, unused ones among them.
    pub fn length(self) -> usize {
        self.place((1 << self.line_bits) - 1) + self.line_length()
    }

    /// Numbers in a line.
    pub fn line_length(self) -> usize {
        2 << self.lane_bits
    }

    /// Splits bits where padding breaks the doubling of their strides.
    pub fn even_ranges(&self, bits: &std::ops::Range<usize>) -> Vec<std::ops::Range<usize>> {
        let mut ranges = vec![];
        let mut start = bits.start;
        for bit in bits.start + 1..bits.end {
            if self.strides[bit] != 2 * self.strides[bit - 1] {
                ranges.push(start..bit);
                start = bit;
            }
        }
        ranges.push(start..bits.end);
        ranges
    }

    /// Place of a line's first number.
    #[inline]
    pub fn place(&self, line: usize) -> usize {
        let mut place = 0;
        let mut rest = line;
        while rest != 0 {
            place += self.strides[rest.trailing_zeros() as usize];
            rest &= rest - 1;
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_do_not_overlap() {
        for level in Level::available() {
            for qubits in 1..=20 {
                let layout = Layout::new::<f32>(qubits, level);
                let places: Vec<_> =
                    (0..1 << layout.line_bits).map(|line| layout.place(line)).collect();
                assert!(places.windows(2).all(|pair| pair[0] + layout.line_length() <= pair[1]));
                assert!(layout.length() <= (2 << layout.padded_qubits()) * 33 / 32 + 512);
            }
        }
    }
}
