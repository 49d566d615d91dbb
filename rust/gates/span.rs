//! Vectors of bits, and what they span.

/// Vectors put in one after another, each with a bit of its own once the earlier ones are taken off.
#[derive(Debug, Clone, Default)]
pub struct Span {
    /// What is left of each vector, and which of those that were put in it is the sum of.
    rows: Vec<(u64, u64)>,
}

impl Span {
    /// Number of vectors that depend on none of the others.
    pub fn rank(&self) -> usize {
        self.rows.len()
    }

    /// What is left of a vector (0 where it is in the span), and the sum that was taken off.
    pub fn reduced(&self, mut vector: u64) -> (u64, u64) {
        let mut sum = 0;
        for &(row, made_of) in &self.rows {
            if vector >> leading(row) & 1 == 1 {
                vector ^= row;
                sum ^= made_of;
            }
        }
        (vector, sum)
    }

    /// Whether a vector is a sum of those that were put in.
    pub fn contains(&self, vector: u64) -> bool {
        self.reduced(vector).0 == 0
    }

    /// Puts a vector in; whether it was none of the span.
    pub fn insert(&mut self, vector: u64) -> bool {
        let (left, sum) = self.reduced(vector);
        if left != 0 {
            self.rows.push((left, sum ^ 1 << self.rank()));
        }
        left != 0
    }

    /// The bits that single out the rows.
    pub fn pivots(&self) -> u64 {
        self.rows.iter().fold(0, |bits, &(row, _)| bits | 1 << leading(row))
    }

    /// Vectors that span the same.
    pub fn rows(&self) -> impl Iterator<Item = u64> + '_ {
        self.rows.iter().map(|&(row, _)| row)
    }
}

fn leading(row: u64) -> u32 {
    row.ilog2()
}

/// 1 where an odd number of the bits is set.
#[inline(always)]
pub fn parity(bits: u64) -> u32 {
    bits.count_ones() & 1
}

/// All 2^k sums of k vectors; sum number i has vector j where bit j of i is set.
pub fn sums(vectors: &[u64]) -> Vec<u64> {
    let mut all = vec![0];
    for &vector in vectors {
        for place in 0..all.len() {
            all.push(all[place] ^ vector);
        }
    }
    all
}
