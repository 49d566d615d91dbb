//! Counter-based random streams: Philox4x64-10 (Salmon et al., SC'11).
//!
//! A number is a pure function of (seed, domain, stream, position), so work can be split over
//! any number of threads and still draw the same numbers. Every layout in this file is frozen:
//! seeds keep their meaning in every later release (golden vectors in the tests).

/// What a stream's numbers are used for; keeps the uses of one seed independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Domain {
    /// Initial rotation angles.
    Angles = 1,
    /// Which bases feed which weight.
    WeightMap = 2,
    /// Random signs of the weights.
    Signs = 3,
    /// Measurement outcomes.
    Sampling = 4,
    /// Random signs of the bases.
    BasisSigns = 5,
}

const MULTIPLIERS: [u64; 2] = [0xD2E7_470E_E14C_6C93, 0xCA5A_8263_9512_1157];
const WEYL: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xBB67_AE85_84CA_A73B];
const ROUNDS: usize = 10;
/// Blocks that a stream makes at once.
const AHEAD: usize = 4;

/// Blocks of four 64-bit numbers for as many counters and a key: a block's rounds wait for each
/// other, several blocks fill those waits.
#[inline]
pub fn philox4x64<const BLOCKS: usize>(
    mut counters: [[u64; 4]; BLOCKS],
    mut key: [u64; 2],
) -> [[u64; 4]; BLOCKS] {
    for round in 0..ROUNDS {
        if round > 0 {
            key[0] = key[0].wrapping_add(WEYL[0]);
            key[1] = key[1].wrapping_add(WEYL[1]);
        }
        for counter in &mut counters {
            let left = u128::from(MULTIPLIERS[0]) * u128::from(counter[0]);
            let right = u128::from(MULTIPLIERS[1]) * u128::from(counter[2]);
            *counter = [
                (right >> 64) as u64 ^ counter[1] ^ key[0],
                right as u64,
                (left >> 64) as u64 ^ counter[3] ^ key[1],
                left as u64,
            ];
        }
    }
    counters
}

/// A stream of random numbers: counter word 0 runs, words 1 and 2 name the stream.
#[derive(Debug, Clone)]
pub struct Stream {
    key: [u64; 2],
    counter: [u64; 4],
    buffer: [[u64; 4]; AHEAD],
    used: usize,
}

impl Stream {
    /// The stream `index` of row `row` for a seed and a use.
    pub fn new(seed: u64, domain: Domain, row: u64, index: u64) -> Self {
        let key = [seed, domain as u64];
        Self { key, counter: [0, index, row, 0], buffer: [[0; 4]; AHEAD], used: 4 * AHEAD }
    }

    /// The next 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        if self.used == 4 * AHEAD {
            self.refill();
        }
        let value = self.buffer.as_flattened()[self.used];
        self.used += 1;
        value
    }

    #[inline(never)]
    fn refill(&mut self) {
        let counters = std::array::from_fn(|block| {
            let [run, index, row, rest] = self.counter;
            [run + block as u64, index, row, rest]
        });
        self.buffer = philox4x64(counters, self.key);
        self.counter[0] += AHEAD as u64;
        self.used = 0;
    }

    /// Uniform on [0, 1), on the grid of multiples of 2^-53.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        // Signed: processors convert those in one step.
        (self.next_u64() >> 11) as i64 as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform on 0 … bound-1, without bias (Lemire 2019); `bound` > 0.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        let mut product = u128::from(self.next_u64()) * u128::from(bound);
        if (product as u64) < bound {
            let threshold = bound.wrapping_neg() % bound;
            while (product as u64) < threshold {
                product = u128::from(self.next_u64()) * u128::from(bound);
            }
        }
        (product >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_known_answers() {
        // Random123's kat_vectors for philox4x64-10.
        assert_eq!(
            philox4x64([[0; 4]], [0; 2]),
            [[0x16554d9eca36314c, 0xdb20fe9d672d0fdc, 0xd7e772cee186176b, 0x7e68b68aec7ba23b]]
        );
        assert_eq!(
            philox4x64([[u64::MAX; 4]], [u64::MAX; 2]),
            [[0x87b092c3013fe90b, 0x438c3c67be8d0224, 0x9cc7d7c69cd777b6, 0xa09caebf594f0ba0]]
        );
    }

    #[test]
    fn below_is_even() {
        let mut stream = Stream::new(3, Domain::Signs, 0, 0);
        let mut seen = [0u32; 7];
        for _ in 0..70_000 {
            seen[stream.below(7) as usize] += 1;
        }
        for count in seen {
            assert!((9_500..10_500).contains(&count), "{seen:?}");
        }
    }
}
