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
    let sum: f64 = probabilities.iter().sum();
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
    parallel::with_team(probabilities.len(), |team| {
        let blocks = probabilities.len().div_ceil(BLOCK);
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
                Block { bins, tree: Tree::new(bins), stream }.draw(1, 0, shots, counts);
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
        let mut cumulative = [0.0; BLOCK];
        let cumulative = &mut cumulative[..counts.len()];
        let mut sum = 0.0;
        let mut last = 0;
        for (index, (cumulative, &bin)) in
            cumulative.iter_mut().zip(&self.bins[first..]).enumerate()
        {
            sum += bin;
            *cumulative = sum;
            if bin > 0.0 {
                last = index;
            }
        }
        for _ in 0..shots {
            let target = self.stream.uniform() * sum;
            let bin = cumulative.partition_point(|&reached| reached <= target);
            // Rounding may put the target on the very end.
            counts[bin.min(last)] += 1;
        }
    }
}
