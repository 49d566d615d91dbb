//! The Walsh-Hadamard transform, natural order: y_k = sum_b (-1)^(number of ones in k & b) z_b.
//!
//! One stage per bit, from the lowest on, takes every pair (a, b) to (a + b, a - b). Vectors, the
//! number of stages in one pass over memory, and threads change which pairs are met first, but no
//! sum: the result has the same bits at every level and for any number of threads.

use crate::error::Result;
use crate::memory;
use crate::parallel::{Cancel, TASK_AMPLITUDES, Team};
use crate::simd::{Cpu, Kernel, Lanes, Level, Real};

/// Transforms `values` in place; their number is a power of two.
pub fn transform<R: Real>(
    level: Level,
    values: &mut [R],
    team: Team,
    cancel: &Cancel,
) -> Result<()> {
    assert!(values.len().is_power_of_two());
    // What fits a core's own cache goes through all of its stages first.
    let chunks = memory::collected(values.chunks_mut(TASK_AMPLITUDES))?;
    team.for_each(chunks, |values| {
        level.run(Stages(values));
        cancel.check()
    })?;
    let mut half = TASK_AMPLITUDES;
    while 4 * half <= values.len() {
        let tasks = values.chunks_exact_mut(4 * half).flat_map(|group| {
            let (low, high) = group.split_at_mut(2 * half);
            let ((a, b), (c, d)) = (low.split_at_mut(half), high.split_at_mut(half));
            let low = a.chunks_mut(TASK_AMPLITUDES).zip(b.chunks_mut(TASK_AMPLITUDES));
            let high = c.chunks_mut(TASK_AMPLITUDES).zip(d.chunks_mut(TASK_AMPLITUDES));
            low.zip(high)
        });
        team.for_each(memory::collected(tasks)?, |((a, b), (c, d))| {
            level.run(Two([a, b, c, d]));
            cancel.check()
        })?;
        half *= 4;
    }
    if half < values.len() {
        let (a, b) = values.split_at_mut(half);
        let tasks = a.chunks_mut(TASK_AMPLITUDES).zip(b.chunks_mut(TASK_AMPLITUDES));
        team.for_each(memory::collected(tasks)?, |(a, b)| {
            level.run(One([a, b]));
            cancel.check()
        })?;
    }
    Ok(())
}

/// All stages of a slice.
struct Stages<'a, R>(&'a mut [R]);

impl<R: Real> Kernel<R> for Stages<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) {
        let Self(values) = self;
        let length = values.len();
        let mut half = if length >= V::COUNT { V::COUNT } else { 1 };
        if half > 1 {
            for lanes in values.chunks_exact_mut(V::COUNT) {
                let mut vector = V::read(cpu, lanes);
                let mut bit = 0;
                while bit < V::BITS {
                    let other = vector.swap(bit);
                    vector = vector.add(other).merge(other.sub(vector), bit);
                    bit += 1;
                }
                vector.write(lanes);
            }
        }
        while 4 * half <= length {
            for group in values.chunks_exact_mut(4 * half) {
                let (low, high) = group.split_at_mut(2 * half);
                let ((a, b), (c, d)) = (low.split_at_mut(half), high.split_at_mut(half));
                Two([a, b, c, d]).run(cpu);
            }
            half *= 4;
        }
        if half < length {
            let (a, b) = values.split_at_mut(half);
            One([a, b]).run(cpu);
        }
    }
}

/// One stage between two slices of one length.
struct One<'a, R>([&'a mut [R]; 2]);

impl<R: Real> Kernel<R> for One<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, _: Cpu<V>) {
        let Self([a, b]) = self;
        for (a, b) in a.iter_mut().zip(b) {
            (*a, *b) = (*a + *b, *a - *b);
        }
    }
}

/// Two stages between four slices of one length, in one pass over them.
struct Two<'a, R>([&'a mut [R]; 4]);

impl<R: Real> Kernel<R> for Two<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) {
        let Self([a, b, c, d]) = self;
        let length = a.len();
        assert!(b.len() == length && c.len() == length && d.len() == length);
        let whole = length - length % V::COUNT;
        let mut place = 0;
        while place < whole {
            let [low, high] = [&*a, &*b].map(|from| V::read(cpu, &from[place..]));
            let (sum, difference) = (low.add(high), low.sub(high));
            let [low, high] = [&*c, &*d].map(|from| V::read(cpu, &from[place..]));
            let (other, another) = (low.add(high), low.sub(high));
            sum.add(other).write(&mut a[place..]);
            difference.add(another).write(&mut b[place..]);
            sum.sub(other).write(&mut c[place..]);
            difference.sub(another).write(&mut d[place..]);
            place += V::COUNT;
        }
        for place in whole..length {
            let (sum, difference) = (a[place] + b[place], a[place] - b[place]);
            let (other, another) = (c[place] + d[place], c[place] - d[place]);
            (a[place], c[place]) = (sum + other, sum - other);
            (b[place], d[place]) = (difference + another, difference - another);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel;

    fn transformed<R: Real>(level: Level, values: &[R]) -> Vec<R> {
        let mut values = values.to_vec();
        let length = values.len();
        let cancel = Cancel::default();
        parallel::with_team(length, |team| transform(level, &mut values, team, &cancel)).unwrap();
        values
    }

    fn numbers<R: Real>(length: usize) -> Vec<R> {
        (0..length).map(|place| R::from_f64((3.7 * place as f64).sin())).collect()
    }

    fn check<R: Real>(tolerance: f64) {
        for length in (0..12).map(|bits| 1usize << bits) {
            let values = numbers::<R>(length);
            let expected: Vec<f64> = (0..length)
                .map(|row| {
                    let sign = |place: usize| 1.0 - 2.0 * f64::from((row & place).count_ones() % 2);
                    values.iter().enumerate().map(|(place, z)| sign(place) * z.to_f64()).sum()
                })
                .collect();
            let found = Level::available().into_iter().map(|level| transformed(level, &values));
            let found: Vec<_> = found.collect();
            for (one, right) in found[0].iter().zip(&expected) {
                assert!((one.to_f64() - right).abs() <= tolerance * length as f64);
            }
            assert!(found.iter().all(|other| *other == found[0]));
        }
    }

    #[test]
    fn it_is_the_matrix_and_the_same_at_every_level() {
        check::<f64>(1e-15);
        check::<f32>(1e-6);
    }

    #[test]
    fn twice_is_the_length_and_threads_change_nothing() {
        let before = parallel::num_threads();
        for length in (11..20).map(|bits| 1usize << bits) {
            // Sums of small integers are exact.
            let values: Vec<f64> = (0..length).map(|place| (place * 7 % 31) as f64).collect();
            let level = Level::current().unwrap();
            let twice = transformed(level, &transformed(level, &values));
            assert!(twice.iter().zip(&values).all(|(one, z)| *one == length as f64 * z));
            let rough = numbers::<f32>(length);
            let results = [1, 2, 3, 8].map(|threads| {
                parallel::set_num_threads(threads).unwrap();
                Level::available().into_iter().map(|level| transformed(level, &rough)).collect()
            });
            let results: [Vec<Vec<f32>>; 4] = results;
            assert!(results.iter().flatten().all(|other| *other == results[0][0]));
        }
        parallel::set_num_threads(before).unwrap();
    }
}
