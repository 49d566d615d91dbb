//! Exact binomial variates for up to 2^40 trials and more.
//!
//! Inversion where the mean is small; elsewhere Hörmann's transformed rejection (BTRS, J. Stat.
//! Comput. Simul. 46, 1993) against Loader's saddle-point form of the probability ("Fast and
//! Accurate Computation of Binomial Probabilities", 2000), which stays accurate where differences
//! of log-gamma functions lose every digit. Frozen: a seed's variates are the same in every later
//! release, and on every platform, since no function of the system's C library is called.
//!
//! The frozen form of a choice asks for logarithms. Most choices are plain without: the short way
//! computes both sides by products, whose rounding is far below [`MARGIN`], and where they lie
//! nearer than that it leaves the choice to the frozen form. So the variates are the same.

use libm::{exp, fabs, log, log1p, sqrt};

use crate::rng::Stream;

/// Below this mean, inversion is the faster method; BTRS needs at least this mean.
const INVERSION_MEAN: f64 = 10.0;
/// Relative distance from which the short way's word is taken. Its roundings, and those of the
/// frozen form, add up to less than 1e-12: at most [`NEAR`] steps of three operations, or the
/// power of a number of trials below [`FEW`], against logarithms below 1e3.
const MARGIN: f64 = 1e-9;
/// How many steps from the mode the ratio of two probabilities is a product of as many factors.
const NEAR: f64 = 64.0;
/// Below this many trials, the probability of no success is a power by products.
const FEW: u64 = 1 << 12;

/// How many of `trials` fall left, where left and right have these weights (not both zero).
pub fn split(stream: &mut Stream, trials: u64, left: f64, right: f64) -> u64 {
    if trials == 0 || left <= 0.0 {
        return 0;
    }
    if right <= 0.0 {
        return trials;
    }
    // The smaller side is drawn: its probability keeps its relative accuracy.
    let total = left + right;
    if left <= right {
        draw(stream, trials, left / total, right / total)
    } else {
        trials - draw(stream, trials, right / total, left / total)
    }
}

/// Binomial(trials, p) for 0 < p <= 1/2, q = 1 - p.
fn draw(stream: &mut Stream, trials: u64, p: f64, q: f64) -> u64 {
    if p == 0.0 {
        return 0; // underflow of a ratio: the side is beyond reach of any number of trials
    }
    if trials as f64 * p < INVERSION_MEAN {
        inversion(stream, trials, p, q)
    } else {
        Rejection::new(trials, p, q).draw(stream)
    }
}

fn inversion(stream: &mut Stream, trials: u64, p: f64, q: f64) -> u64 {
    let first = stream.uniform();
    if trials < FEW
        && let Some(k) = inversion_by_power(first, trials, p, q)
    {
        return k;
    }
    frozen_inversion(first, stream, trials, p, q)
}

/// The variate of a uniform number, or nothing where it lies too near a border.
fn inversion_by_power(uniform: f64, trials: u64, p: f64, q: f64) -> Option<u64> {
    let n = trials as f64;
    let ratio = p / q;
    let (mut probability, mut square, mut left) = (1.0, q, trials);
    while left > 0 {
        if left & 1 == 1 {
            probability *= square;
        }
        square *= square;
        left >>= 1;
    }
    // What is left of the number, never counting on the last `MARGIN` of it.
    let mut left = uniform;
    for k in 0..=trials.min(110) {
        if left < probability + MARGIN {
            return (left < probability - MARGIN).then_some(k);
        }
        left -= probability;
        probability *= ratio * (n - k as f64) / (k + 1) as f64;
    }
    None
}

fn frozen_inversion(first: f64, stream: &mut Stream, trials: u64, p: f64, q: f64) -> u64 {
    let n = trials as f64;
    let ratio = p / q;
    let none = exp(n * log1p(-p));
    // The mean is below 10: more than 110 has probability below 1e-70, and only rounding of the
    // running sum leads there.
    let most = trials.min(110);
    let mut left = first;
    loop {
        let mut probability = none;
        for k in 0..=most {
            if left < probability {
                return k;
            }
            left -= probability;
            probability *= ratio * (n - k as f64) / (k + 1) as f64;
        }
        left = stream.uniform();
    }
}

struct Rejection {
    n: f64,
    p: f64,
    q: f64,
    a: f64,
    b: f64,
    centre: f64,
    deviation: f64,
    squeeze: f64,
}

impl Rejection {
    fn new(trials: u64, p: f64, q: f64) -> Self {
        let n = trials as f64;
        let deviation = sqrt(n * p * q);
        let b = 1.15 + 2.53 * deviation;
        Self {
            n,
            p,
            q,
            a: -0.0873 + 0.0248 * b + 0.01 * p,
            b,
            centre: n * p + 0.5,
            deviation,
            squeeze: 0.92 - 4.2 / b,
        }
    }

    fn draw(&self, stream: &mut Stream) -> u64 {
        loop {
            let u = stream.uniform() - 0.5;
            let v = stream.uniform();
            let distance = 0.5 - fabs(u);
            let k = (2.0 * self.a / distance + self.b) * u + self.centre;
            if k < 0.0 || k >= self.n + 1.0 {
                continue;
            }
            // Its floor, as it is not negative and below 2^53.
            let k = k as i64 as f64;
            if distance >= 0.07 && v <= self.squeeze {
                return k as i64 as u64;
            }
            let alpha = (2.83 + 5.1 / self.b) * self.deviation;
            let density = alpha / (self.a / (distance * distance) + self.b);
            if self.accepts(k, v * density) {
                return k as u64;
            }
        }
    }

    /// Whether `height` is at most the probability of k beside that of the mode.
    fn accepts(&self, k: f64, height: f64) -> bool {
        let mode = ((self.n + 1.0) * self.p) as i64 as f64;
        self.plainly(k, mode, height).unwrap_or_else(|| self.frozen(k, mode, height))
    }

    fn frozen(&self, k: f64, mode: f64, height: f64) -> bool {
        let log_probability = |k| log_probability(k, self.n, self.p, self.q);
        log(height) <= log_probability(k) - log_probability(mode)
    }

    /// The same, or nothing: far from the mode, or too near a border.
    fn plainly(&self, k: f64, mode: f64, height: f64) -> Option<bool> {
        if fabs(k - mode) > NEAR {
            return None;
        }
        let beside = height / self.ratio(k, mode);
        (fabs(beside - 1.0) > MARGIN).then_some(beside < 1.0)
    }

    /// The probability of k divided by that of the mode, by the factors from one to the other.
    fn ratio(&self, k: f64, mode: f64) -> f64 {
        let (from, to) = if k < mode { (k, mode) } else { (mode, k) };
        let odds = self.p / self.q;
        let (mut ratio, mut i) = (1.0, from);
        while i < to {
            i += 1.0;
            ratio *= (self.n + 1.0 - i) * odds / i;
        }
        if k < mode { 1.0 / ratio } else { ratio }
    }
}

/// log of the binomial probability of k.
fn log_probability(k: f64, n: f64, p: f64, q: f64) -> f64 {
    if k == 0.0 {
        return n * log1p(-p);
    }
    if k == n {
        return n * log(p);
    }
    stirling_error(n)
        - stirling_error(k)
        - stirling_error(n - k)
        - deviance(k, n * p)
        - deviance(n - k, n * q)
        + 0.5 * log(n / (std::f64::consts::TAU * k * (n - k)))
}

/// log(x!) - log(sqrt(2 pi x) (x/e)^x) for a whole x >= 1.
fn stirling_error(x: f64) -> f64 {
    if x < 16.0 {
        return STIRLING_ERRORS[x as usize];
    }
    let square = x * x;
    let series = 1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square;
    (1.0 / 12.0 - (1.0 / 360.0 - series / square) / square) / x
}

#[rustfmt::skip]
const STIRLING_ERRORS: [f64; 16] = [
    0.0,
    0.08106146679532726,
    0.0413406959554093,
    0.02767792568499834,
    0.020790672103765093,
    0.016644691189821193,
    0.013876128823070748,
    0.01189670994589177,
    0.010411265261972096,
    0.009255462182712733,
    0.00833056343336287,
    0.007573675487951841,
    0.00694284010720953,
    0.006408994188004207,
    0.0059513701127588475,
    0.005554733551962801,
];

/// x log(x / mean) + mean - x, without cancellation where x is near the mean.
fn deviance(x: f64, mean: f64) -> f64 {
    let difference = x - mean;
    if fabs(difference) >= 0.1 * (x + mean) {
        return x * log(x / mean) - difference;
    }
    let v = difference / (x + mean);
    let mut sum = difference * v;
    let mut term = 2.0 * x * v;
    let mut odd = 3.0;
    loop {
        term *= v * v;
        let next = sum + term / odd;
        if next == sum {
            return sum;
        }
        sum = next;
        odd += 2.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Domain;

    /// Chi-square of many draws against the probabilities, by a recurrence that shares nothing
    /// with the sampler.
    fn chi_square(trials: u64, p: f64) -> (f64, usize) {
        let draws = 200_000;
        let mut counts = vec![0u64; trials as usize + 1];
        let mut stream = Stream::new(trials, Domain::Sampling, 9, 9);
        for _ in 0..draws {
            counts[split(&mut stream, trials, p, 1.0 - p) as usize] += 1;
        }
        let mut logs = vec![trials as f64 * (1.0 - p).ln()];
        for k in 0..trials as usize {
            let ratio = (trials as usize - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
            logs.push(logs[k] + ratio.ln());
        }
        let (mut statistic, mut cells, mut expected, mut seen) = (0.0, 0, 0.0, 0);
        for (log, count) in logs.iter().zip(counts) {
            expected += log.exp() * draws as f64;
            seen += count;
            if expected > 20.0 {
                statistic += (seen as f64 - expected).powi(2) / expected;
                cells += 1;
                (expected, seen) = (0.0, 0);
            }
        }
        (statistic, cells)
    }

    #[test]
    fn variates_follow_the_distribution() {
        for (trials, p) in
            [(1, 0.5), (5, 0.3), (40, 0.2), (40, 0.25), (60, 0.9), (1000, 0.5), (5000, 0.013)]
        {
            let (statistic, cells) = chi_square(trials, p);
            let freedom = cells.max(2) as f64 - 1.0;
            // Wilson-Hilferty: six standard deviations of the cube root.
            let cube = (statistic / freedom).cbrt();
            let spread = (2.0 / (9.0 * freedom)).sqrt();
            assert!(
                cube < 1.0 - spread * spread + 6.0 * spread,
                "{trials} {p}: {statistic} of {freedom}"
            );
        }
    }

    /// (trials, p) of all sizes that occur, some at the edges of the methods.
    fn cases() -> impl Iterator<Item = (u64, f64)> {
        let mut stream = Stream::new(5, Domain::Sampling, 8, 8);
        (0..3000).map(move |case| {
            let trials = 2 + (stream.next_u64() >> (24 + case % 39));
            let mean = 0.02 * (1.0 + stream.below(1000) as f64);
            (trials, (mean / trials as f64).min(0.5 * (1.0 - 0.5 * stream.uniform())))
        })
    }

    #[test]
    fn the_short_inversion_is_the_frozen_one() {
        let (mut stream, mut plain, mut all) = (Stream::new(6, Domain::Sampling, 7, 7), 0, 0);
        for (trials, p) in cases().filter(|&(trials, p)| trials < FEW && trials as f64 * p < 10.0) {
            for _ in 0..300 {
                let uniform = stream.uniform();
                let short = inversion_by_power(uniform, trials, p, 1.0 - p);
                let frozen = frozen_inversion(uniform, &mut stream.clone(), trials, p, 1.0 - p);
                assert_eq!(short.unwrap_or(frozen), frozen, "{trials} {p} {uniform}");
                all += 1;
                plain += u64::from(short.is_some());
            }
        }
        assert!(all > 100_000 && plain > all - all / 10_000, "{plain} of {all}");
    }

    #[test]
    fn the_short_choice_is_the_frozen_one() {
        let (mut stream, mut plain, mut all) = (Stream::new(7, Domain::Sampling, 7, 7), 0, 0);
        for (trials, p) in cases().filter(|&(trials, p)| trials as f64 * p >= INVERSION_MEAN) {
            let made = Rejection::new(trials, p, 1.0 - p);
            let mode = ((made.n + 1.0) * p).floor();
            for _ in 0..300 {
                let k = mode + stream.below(129) as f64 - 64.0;
                if !(0.0..=made.n).contains(&k) {
                    continue;
                }
                // Heights on the border, and from as near as the short way may speak to far off.
                let border = made.ratio(k, mode);
                let off = 0.1f64.powi(stream.below(16) as i32) * (stream.uniform() - 0.5);
                let height = border * (1.0 + off);
                let short = made.plainly(k, mode, height);
                let frozen = made.frozen(k, mode, height);
                assert_eq!(short.unwrap_or(frozen), frozen, "{trials} {p} {k} {height}");
                all += 1;
                plain += u64::from(short.is_some());
            }
        }
        assert!(all > 100_000 && plain > all / 2, "{plain} of {all}");
    }

    #[test]
    fn huge_trials_have_the_right_mean_and_deviation() {
        let (trials, p) = (1u64 << 40, 0.3);
        let mut stream = Stream::new(1, Domain::Sampling, 0, 0);
        let deviation = (trials as f64 * p * (1.0 - p)).sqrt();
        let (mut sum, mut squares) = (0.0, 0.0);
        let draws = 100_000;
        for _ in 0..draws {
            let z = (split(&mut stream, trials, p, 1.0 - p) as f64 - trials as f64 * p) / deviation;
            sum += z;
            squares += z * z;
        }
        assert!((sum / f64::from(draws)).abs() < 0.02);
        assert!((squares / f64::from(draws) - 1.0).abs() < 0.03);
    }

    #[test]
    fn empty_sides_get_nothing() {
        let mut stream = Stream::new(0, Domain::Sampling, 0, 0);
        assert_eq!(split(&mut stream, 1 << 40, 0.0, 1e-300), 0);
        assert_eq!(split(&mut stream, 1 << 40, 1e-300, 0.0), 1 << 40);
        assert_eq!(split(&mut stream, 0, 0.5, 0.5), 0);
    }
}
