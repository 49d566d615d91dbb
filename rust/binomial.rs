//! Exact binomial variates for up to 2^40 trials and more.
//!
//! Inversion where the mean is small; elsewhere Hörmann's transformed rejection (BTRS, J. Stat.
//! Comput. Simul. 46, 1993) against Loader's saddle-point form of the probability ("Fast and
//! Accurate Computation of Binomial Probabilities", 2000), which stays accurate where differences
//! of log-gamma functions lose every digit. Frozen: a seed's variates are the same in every later
//! release, and on every platform, since no function of the system's C library is called.

use libm::{exp, fabs, floor, log, log1p, sqrt};

use crate::rng::Stream;

/// Below this mean, inversion is the faster method; BTRS needs at least this mean.
const INVERSION_MEAN: f64 = 10.0;

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
    let n = trials as f64;
    let ratio = p / q;
    let none = exp(n * log1p(-p));
    // The mean is below 10: more than 110 has probability below 1e-70, and only rounding of the
    // running sum leads there.
    let most = trials.min(110);
    loop {
        let mut left = stream.uniform();
        let mut probability = none;
        for k in 0..=most {
            if left < probability {
                return k;
            }
            left -= probability;
            probability *= ratio * (n - k as f64) / (k + 1) as f64;
        }
    }
}

struct Rejection {
    n: f64,
    p: f64,
    q: f64,
    a: f64,
    b: f64,
    centre: f64,
    alpha: f64,
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
            alpha: (2.83 + 5.1 / b) * deviation,
            squeeze: 0.92 - 4.2 / b,
        }
    }

    fn draw(&self, stream: &mut Stream) -> u64 {
        // Of the mode; most draws never ask for it.
        let mut log_mode = None;
        loop {
            let u = stream.uniform() - 0.5;
            let v = stream.uniform();
            let distance = 0.5 - fabs(u);
            let k = floor((2.0 * self.a / distance + self.b) * u + self.centre);
            if k < 0.0 || k > self.n {
                continue;
            }
            if distance >= 0.07 && v <= self.squeeze {
                return k as u64;
            }
            let density = self.alpha / (self.a / (distance * distance) + self.b);
            let log_probability = |k| log_probability(k, self.n, self.p, self.q);
            let mode =
                *log_mode.get_or_insert_with(|| log_probability(floor((self.n + 1.0) * self.p)));
            if log(v * density) <= log_probability(k) - mode {
                return k as u64;
            }
        }
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
