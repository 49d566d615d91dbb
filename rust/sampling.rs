//! Probabilities + seed → counts: an exact multinomial draw, the same for any number of threads.
//!
//! The shots are divided along a binary tree of conditional binomials down to blocks of bins, and
//! inside a block on the same way, until few shots per bin are left; those are drawn one by one.
//! Every node of the upper tree and every block has its own random stream, named by its place, so
//! it does not matter who draws it or when. The layout (block size, threshold, streams) is frozen.

use crate::binomial;
use crate::error::{Error, Result};
use crate::memory;
use crate::parallel::{self, Cancel};
use crate::rng::{Domain, Stream};

/// Bins of a block: one task, one stream.
const BLOCK: usize = 1024;
/// A range with at most this many shots per bin draws them one by one.
const SHOTS_PER_BIN: u64 = 8;
/// Streams of blocks are numbered from here; the nodes of the upper tree below.
const BLOCK_STREAMS: u64 = 1 << 63;
/// Largest number of shots.
pub const MAX_SHOTS: u64 = 1 << 40;
/// How far from 1 probabilities in double precision may sum.
pub const SUM_TOLERANCE: f64 = 1e-6;
/// And in single precision, where every rotation may change the state's square by its rounding.
/// Measured: below 1e-6 up to 24 qubits and some thousand rotations, 1.2e-5 after 20,000.
pub const SINGLE_TOLERANCE: f64 = 1e-4;

/// Checks the number of shots.
pub fn check_shots(shots: u64) -> Result<()> {
    if (1..=MAX_SHOTS).contains(&shots) {
        return Ok(());
    }
    Err(Error::value(
        "shots",
        format!("is {shots}"),
        format!("it must be from 1 to 2**40 = {MAX_SHOTS}"),
    ))
}

/// Checks one distribution: its sum is 1.
pub fn check_distribution(probabilities: &[f64], tolerance: f64) -> Result<()> {
    // Sums side by side do not wait for each other.
    let mut sums = [0.0; 8];
    let chunks = probabilities.chunks_exact(sums.len());
    let rest: f64 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
    let sum = rest + sums.iter().sum::<f64>();
    if (sum - 1.0).abs() <= tolerance {
        return Ok(());
    }
    Err(Error::value(
        "probabilities",
        format!("sum to {sum}"),
        format!("they must sum to 1 within {tolerance:e}"),
    ))
}

/// Draws `shots` outcomes and writes how often each bin came.
///
/// `row` is the distribution's number in a batch: every row has streams of its own.
pub fn sample_counts(
    probabilities: &[f64],
    shots: u64,
    seed: u64,
    row: u64,
    counts: &mut [i64],
    cancel: &Cancel,
) -> Result<()> {
    let blocks = probabilities.len().div_ceil(BLOCK);
    parallel::with_team(probabilities.len(), |team| {
        let leaves = blocks.next_power_of_two();
        let mut sums = memory::filled(2 * leaves, 0.0)?;
        let blocks = sums[leaves..].iter_mut().zip(probabilities.chunks(BLOCK));
        let tasks = memory::collected(blocks)?;
        team.for_each(tasks, |(sum, bins)| {
            *sum = Tree::new(bins).sums[1];
            cancel.check()
        })?;
        for node in (1..leaves).rev() {
            sums[node] = sums[2 * node] + sums[2 * node + 1];
        }
        let shares = share_out(&sums, shots, seed, row)?;
        let bins = probabilities.chunks(BLOCK).zip(counts.chunks_mut(BLOCK));
        let tasks = memory::collected(bins.zip(&shares[leaves..]).enumerate())?;
        team.for_each(tasks, |(block, ((bins, counts), &shots))| {
            counts.fill(0);
            if shots > 0 {
                let stream = Stream::new(seed, Domain::Sampling, row, BLOCK_STREAMS | block as u64);
                let (tree, guide) = (Tree::new(bins), Guide::new());
                Block { bins, tree, stream, guide }.draw(1, 0, shots, counts);
            }
            cancel.check()
        })
    })
}

/// The shots of every node of the tree of the blocks' sums, those of the blocks last.
fn share_out(sums: &[f64], shots: u64, seed: u64, row: u64) -> Result<Vec<u64>> {
    let leaves = sums.len() / 2;
    let mut shares = memory::filled(sums.len(), 0)?;
    shares[1] = shots;
    for node in 1..leaves {
        let mut stream = Stream::new(seed, Domain::Sampling, row, node as u64);
        let (left, right) = (sums[2 * node], sums[2 * node + 1]);
        shares[2 * node] = binomial::split(&mut stream, shares[node], left, right);
        shares[2 * node + 1] = shares[node] - shares[2 * node];
    }
    Ok(shares)
}

/// Sums of a block's bins as a heap: node k has the children 2k and 2k+1.
struct Tree {
    sums: [f64; 2 * BLOCK],
}

impl Tree {
    fn new(bins: &[f64]) -> Self {
        let mut sums = [0.0; 2 * BLOCK];
        sums[BLOCK..][..bins.len()].copy_from_slice(bins);
        for node in (1..BLOCK).rev() {
            sums[node] = sums[2 * node] + sums[2 * node + 1];
        }
        Self { sums }
    }
}

struct Block<'a> {
    bins: &'a [f64],
    tree: Tree,
    stream: Stream,
    guide: Guide,
}

impl Block<'_> {
    /// Divides the shots of `node`, whose `counts.len()` or fewer bins start at `first`.
    fn draw(&mut self, node: usize, first: usize, shots: u64, counts: &mut [i64]) {
        let width = BLOCK >> node.ilog2();
        if width == 1 {
            counts[0] = shots as i64;
        } else if shots <= SHOTS_PER_BIN * width as u64 {
            self.draw_singly(first, shots, counts);
        } else {
            let (left, right) = (self.tree.sums[2 * node], self.tree.sums[2 * node + 1]);
            let left = binomial::split(&mut self.stream, shots, left, right);
            let (lower, upper) = counts.split_at_mut(counts.len().min(width / 2));
            if left > 0 {
                self.draw(2 * node, first, left, lower);
            }
            if left < shots {
                self.draw(2 * node + 1, first + width / 2, shots - left, upper);
            }
        }
    }

    fn draw_singly(&mut self, first: usize, shots: u64, counts: &mut [i64]) {
        let bins = &self.bins[first..][..counts.len()];
        let sum = self.guide.set(bins, shots);
        // Rounding may put a target on the very end.
        let last = bins.iter().rposition(|&bin| bin > 0.0).unwrap_or(0);
        let mut draw_by = |find: fn(&Guide, f64, f64) -> usize| {
            for _ in 0..shots {
                let uniform = self.stream.uniform();
                counts[find(&self.guide, uniform, uniform * sum).min(last)] += 1;
            }
        };
        match self.guide.parts {
            0 if bins.len() <= FEW => draw_by(|guide, _, target| guide.count(target)),
            0 => draw_by(|guide, _, target| guide.search(target)),
            _ => draw_by(Guide::find),
        }
    }
}

/// So few bins are looked at all together.
const FEW: usize = 8;
/// The most parts of the way from 0 to the sum: what fits the first-level cache.
const PARTS: usize = 4 * BLOCK;
/// What a part's bound is moved by: more than the roundings of a product and a quotient.
const SLACK: f64 = 1.0 + 1e-12;

/// The running sums of some bins, and where in them to begin looking for a target.
struct Guide {
    /// As many as there are bins, then infinity, [`FEW`] times at least.
    reached: [f64; BLOCK + FEW],
    bins: usize,
    /// At most the first bin that each of the parts can end in, their lengths being equal.
    starts: [u16; PARTS + 1],
    parts: usize,
}

impl Guide {
    fn new() -> Self {
        Self { reached: [0.0; BLOCK + FEW], bins: 0, starts: [0; PARTS + 1], parts: 0 }
    }

    /// Takes other bins, for as many shots; returns their sum.
    fn set(&mut self, bins: &[f64], shots: u64) -> f64 {
        let mut sum = 0.0;
        for (reached, &bin) in self.reached.iter_mut().zip(bins) {
            sum += bin;
            *reached = sum;
        }
        self.bins = bins.len();
        self.reached[self.bins..][..FEW].fill(f64::INFINITY);
        self.parts = 0;
        if self.bins > FEW && shots >= self.bins as u64 {
            self.parts = (4 * self.bins).next_power_of_two();
            let starts = &mut self.starts[..=self.parts];
            starts.fill(0);
            // A bin is over before the parts after the one that it ends in.
            let scale = self.parts as f64 / sum * SLACK;
            for &reached in &self.reached[..self.bins] {
                starts[((reached * scale) as usize + 1).min(self.parts)] += 1;
            }
            let mut over = 0;
            for start in starts {
                over += *start;
                *start = over;
            }
        }
        sum
    }

    /// The first bin that reaches beyond the target.
    fn search(&self, target: f64) -> usize {
        self.reached[..self.bins].partition_point(|&reached| reached <= target)
    }

    /// The same, of few bins.
    #[inline]
    fn count(&self, target: f64) -> usize {
        let few = self.reached[..FEW].iter();
        few.map(|&reached| usize::from(reached <= target)).sum()
    }

    /// The same, from where the number's part starts.
    #[inline]
    fn find(&self, uniform: f64, target: f64) -> usize {
        let mut bin = usize::from(self.starts[(uniform * self.parts as f64) as i64 as usize]);
        // Two steps without a choice that could be foreseen wrongly; more are rare.
        bin += usize::from(self.reached[bin] <= target);
        bin += usize::from(self.reached[bin] <= target);
        while self.reached[bin] <= target {
            bin += 1;
        }
        debug_assert_eq!(bin, self.search(target));
        bin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bins of every kind: zeros at the ends and between, some tiny, one with nearly all.
    #[test]
    fn every_way_to_a_bin_is_the_search() {
        let mut stream = Stream::new(1, Domain::Sampling, 6, 6);
        let mut guide = Guide::new();
        for case in 0..400 {
            let width = 1 + stream.below(if case % 2 == 0 { 12 } else { BLOCK as u64 }) as usize;
            let mut bins: Vec<f64> = (0..width).map(|_| stream.uniform().powi(case % 7)).collect();
            for _ in 0..stream.below(width as u64) {
                bins[stream.below(width as u64) as usize] = 0.0;
            }
            bins[stream.below(width as u64) as usize] = 10f64.powi(case % 5 - 2);
            let sum = guide.set(&bins, u64::MAX);
            let borders: Vec<_> = guide.reached[..width].iter().map(|&bin| bin / sum).collect();
            for &border in &borders {
                for uniform in [border.next_down(), border, border.next_up(), stream.uniform()] {
                    let uniform = uniform.clamp(0.0, 1.0f64.next_down());
                    let found = guide.search(uniform * sum);
                    if width <= FEW {
                        assert_eq!(guide.count(uniform * sum), found, "{bins:?} {uniform}");
                    } else {
                        assert_eq!(guide.find(uniform, uniform * sum), found, "{bins:?} {uniform}");
                    }
                }
            }
        }
    }
}
