//! What views refuse.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::simd::{Kernel, Level};

/// A run of butterflies, and a spread, over so many numbers.
struct Touch<'a> {
    numbers: &'a mut [f64],
    run: [usize; 4],
    rows: Vec<usize>,
    last_low: u32,
    low: u32,
}

impl Kernel<f64> for Touch<'_> {
    type Output = ();

    fn run<V: Lanes<Real = f64>>(self, cpu: Cpu<V>) {
        let view = View::of(self.numbers);
        let [stride, place, advance, count] = self.run;
        let run = view.lines::<V, 2>(cpu, stride).groups(place, advance, count);
        for index in 0..count {
            let group = run.at(index);
            for part in [0, 1] {
                group.store(part, &group.load(part));
            }
        }
        let rows = Rows::new(self.rows);
        let spread = view.spread(cpu, &rows, self.last_low);
        for row in 0..rows.places.len() {
            let row = spread.row(row as u32);
            let one = V::splat(cpu, 1.0);
            let lines = row.lines([self.low, 0]);
            lines.get(0, 0).add(lines.get(1, 1)).add(one);
        }
    }
}

/// Whether that is within so many numbers; nothing is touched beyond them.
fn fits(level: Level, length: usize, run: [usize; 4], rows: &[usize], last_low: u32) -> bool {
    let mut numbers = vec![1.0; length];
    let touch = Touch { numbers: &mut numbers, run, rows: rows.to_vec(), last_low, low: last_low };
    catch_unwind(AssertUnwindSafe(|| level.run(touch))).is_ok()
}

#[test]
fn what_reaches_beyond_the_numbers_panics() {
    for level in Level::available() {
        let line = 2 << level.lane_bits::<f64>();
        let small = [line, 0, line, 1];
        let length = 8 * line;
        assert!(fits(level, length, [line, 0, 2 * line, 4], &[0, 4 * line], 0));
        for run in [
            [line, 0, 2 * line, 5],
            [line, 1, 2 * line, 4],
            [line, 0, 2 * line + 1, 4],
            [line + 1, 0, 2 * line, 4],
            [line, usize::MAX, 0, 1],
            [line, 0, usize::MAX, 3],
            [usize::MAX, 0, 0, 1],
            [line, length, 0, 0],
        ] {
            assert!(!fits(level, length, run, &[0], 0), "{run:?}");
        }
        let last = length - line;
        assert!(fits(level, length, small, &[0, last], 0));
        assert!(fits(level, length, small, &[last - 7], 7));
        for (rows, last_low) in [(last + 1, 0), (last, 1), (last - 6, 7), (usize::MAX, 1)] {
            assert!(!fits(level, length, small, &[0, rows], last_low), "{rows} {last_low}");
        }
        // A line that the table does not have, though there is room for it.
        let mut numbers = vec![1.0; length];
        let touch = Touch { numbers: &mut numbers, run: small, rows: vec![0], last_low: 1, low: 2 };
        assert!(catch_unwind(AssertUnwindSafe(|| level.run(touch))).is_err());
    }
}
