//! What the machine can do at most.

use std::hint::black_box;
use std::time::Instant;

use qnnw::simd::{Cpu, Kernel, Lanes, Level, Real};

/// Least seconds per call.
pub fn least(rounds: usize, calls: usize, mut work: impl FnMut()) -> f64 {
    let round = |_| {
        let start = Instant::now();
        for _ in 0..calls {
            work();
        }
        start.elapsed().as_secs_f64() / calls as f64
    };
    (0..rounds).map(round).fold(f64::INFINITY, f64::min)
}

/// Chains of fused multiply-adds: as many as hide their latency.
const CHAINS: usize = 12;

struct Peak<'a, R> {
    links: usize,
    /// Factor, summand, and where every chain starts and ends.
    numbers: &'a mut [R; 2 + 16 * CHAINS],
}

impl<R: Real> Kernel<R> for Peak<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) {
        let [factor, summand] = [0, 1].map(|place| V::splat(cpu, self.numbers[place]));
        let mut chains = [factor; CHAINS];
        for (index, chain) in chains.iter_mut().enumerate() {
            *chain = V::read(cpu, &self.numbers[2 + index * V::COUNT..]);
        }
        for _ in 0..self.links {
            for chain in &mut chains {
                *chain = chain.mul_add(factor, summand);
            }
        }
        for (index, chain) in chains.into_iter().enumerate() {
            chain.write(&mut self.numbers[2 + index * V::COUNT..]);
        }
    }
}

/// Multiply-adds per second of one core, counted as two operations each.
pub fn peak<R: Real>(level: Level) -> f64 {
    const LINKS: usize = 100_000;
    let lanes = (1usize << level.lane_bits::<R>()) as f64;
    let mut numbers: [R; 2 + 16 * CHAINS] =
        std::array::from_fn(|place| R::from_f64(0.9 + 1e-4 * place as f64));
    let seconds = least(50, 1, || {
        let numbers = black_box(&mut numbers);
        level.run(Peak { links: black_box(LINKS), numbers });
    });
    (LINKS * CHAINS * 2) as f64 * lanes / seconds
}
