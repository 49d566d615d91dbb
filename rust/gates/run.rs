//! From parameters to probabilities, and from a cotangent of these back to the parameters.

use super::numbers::{Numbers, Reduced};
use super::plan::{Lines, Pass, Plan};
use super::program::Program;
use super::span::{parity, sums};
use super::sweep::Sweep;
use super::tables::{Tables, entry_sums};
use crate::buffer::Buffer;
use crate::error::Result;
use crate::memory;
use crate::parallel::{self, Cancel, TASK_AMPLITUDES, Team};
use crate::simd::{Cpu, Kernel, Lanes, MAX_LANES, Real};
use crate::view::View;

/// Most tasks of a pass, each with sums of its own.
const MAX_TASKS: usize = 64;

/// A state at the end of a circuit.
#[derive(Debug)]
pub struct Evolved<R> {
    reduced: Reduced,
    state: Buffer<R>,
    /// What its amplitudes have to be multiplied by.
    scale: f64,
}

impl Program {
    fn plan<R: Real>(&self, back: bool) -> &Plan {
        &self.plans[usize::from(size_of::<R>() == 4)][usize::from(back)]
    }

    /// Evolves one set of parameters.
    pub fn evolve<R: Real>(
        &self,
        parameters: &[f64],
        team: Team,
        cancel: &Cancel,
    ) -> Result<Evolved<R>> {
        let plan = self.plan::<R>(false);
        let reduced = Reduced::new(self, parameters)?;
        let numbers = Numbers::new(plan, self, &reduced)?;
        let state = Buffer::new(2 * plan.lines.amplitudes())?;
        let to = state.view();
        for_lines(plan.lines, team, |range| {
            self.level.run(Start { program: self, lines: plan.lines, to, range });
        })?;
        let (mut tables, mut scales) = (Buffer::<R>::empty(), &numbers.scales[..]);
        for pass in &plan.passes {
            let (own, rest) = scales.split_at(pass.steps.len());
            (scales, _) = (rest, self.fill(pass, &numbers, own, false, &mut tables)?);
            let (tables, (tasks, tiles)) = (tables.view(), tasks(plan, pass));
            team.for_each(0..tasks, |task| {
                cancel.check()?;
                let tiles = task * tiles..(task + 1) * tiles;
                self.level.run(Sweep { plan, pass, tables, state: to, back: None, tiles });
                Ok(())
            })?;
        }
        Ok(Evolved { reduced, state, scale: numbers.last })
    }

    /// Writes the tables of a pass.
    fn fill<R: Real>(
        &self,
        pass: &Pass,
        numbers: &Numbers,
        scales: &[f64],
        back: bool,
        tables: &mut Buffer<R>,
    ) -> Result<()> {
        tables.reserve(pass.table_length)?;
        self.level.run(Tables { pass, numbers, scales, back, to: tables.view() });
        Ok(())
    }

    /// Basis index at the end of every lane of a line that is left out, and of bits of lines.
    fn ends(&self, evolved_flips: u64, lines: Lines) -> Ends {
        let end = |place: u64| {
            let index = lines.place(place);
            let bits = self.rows.iter().enumerate();
            bits.fold(0, |end, (qubit, &row)| end | u64::from(parity(row & index)) << qubit)
        };
        let moved = lines.place(evolved_flips);
        let lane_ends: Vec<_> = (0..1 << lines.lane_bits).map(|lane| end(lane ^ moved)).collect();
        let bits = (lines.lane_bits..lines.bits).map(|bit| end(1 << bit)).collect::<Vec<_>>();
        let half = bits.len() / 2;
        let used = (1usize << lines.lane_bits).min(self.dimension());
        Ends { lanes: lane_ends, low: sums(&bits[..half]), high: sums(&bits[half..]), half, used }
    }

    /// Writes the probabilities.
    pub fn measure<R: Real>(&self, evolved: &Evolved<R>, to: &mut [R], team: Team) -> Result<()> {
        let lines = self.plan::<R>(false).lines;
        let ends = self.ends(evolved.reduced.flips, lines);
        let square = R::from_f64(evolved.scale * evolved.scale);
        let width = 1 << lines.lane_bits;
        let (from, to) = (evolved.state.view(), View::of(to));
        for_lines(lines, team, |range| {
            for line in range {
                let first = ends.line(line);
                for (lane, &end) in ends.lanes[..ends.used].iter().enumerate() {
                    // Every place has an index of its own, below the dimension.
                    let place = line * 2 * width + lane;
                    let (re, im) = (from.get(place), from.get(place + width));
                    to.set((first ^ end) as usize, (re * re + im * im) * square);
                }
            }
        })
    }

    /// dL/dparameters for dL/dprobabilities; the state is used up.
    pub fn backward<R: Real>(
        &self,
        evolved: Evolved<R>,
        cotangent: &[R],
        gradient: &mut [R],
        team: Team,
        cancel: &Cancel,
    ) -> Result<()> {
        let plan = self.plan::<R>(true);
        let Evolved { reduced, state, scale } = evolved;
        let numbers = Numbers::new(plan, self, &reduced)?;
        let other = Buffer::new(2 * plan.lines.amplitudes())?;
        let [state, other] = [&state, &other].map(Buffer::view);
        // What the steps after the last scale leave out is what they bring back.
        let ratio = R::from_f64(scale);
        let ends = self.ends(reduced.flips, plan.lines);
        let (width, last) = (1 << plan.lines.lane_bits, R::from_f64(numbers.last));
        for_lines(plan.lines, team, |range| {
            for line in range {
                let first = ends.line(line);
                for lane in 0..width {
                    let by = match lane < ends.used {
                        true => cotangent[(first ^ ends.lanes[lane]) as usize],
                        false => R::default(),
                    };
                    for part in [lane, lane + width] {
                        let place = line * 2 * width + part;
                        let value = state.get(place) * ratio * last;
                        state.set(place, value);
                        other.set(place, by * value);
                    }
                }
            }
        })?;
        let mut by_rotations = memory::filled(self.rotations.len(), 0.0)?;
        let (mut tables, mut partials) = (Buffer::<R>::empty(), Buffer::<R>::empty());
        let mut scales = &numbers.scales[..];
        for pass in plan.passes.iter().rev() {
            let (rest, own) = scales.split_at(scales.len() - pass.steps.len());
            scales = rest;
            self.fill(pass, &numbers, own, true, &mut tables)?;
            let (tasks, tiles) = tasks(plan, pass);
            let length = pass.partial_length;
            partials.reserve(tasks * length)?;
            let (tables, sums) = (tables.view(), partials.view());
            team.for_each(0..tasks, |task| {
                cancel.check()?;
                let tiles = task * tiles..(task + 1) * tiles;
                let own = sums.part(task * length, length);
                (0..length).for_each(|place| own.set(place, R::default()));
                let back = Some((other, own));
                self.level.run(Sweep { plan, pass, tables, state, back, tiles });
                Ok(())
            })?;
            let mut total = memory::filled(length, 0.0)?;
            for task in 0..tasks {
                for (place, sum) in total.iter_mut().enumerate() {
                    *sum += sums.get(task * length + place).to_f64();
                }
            }
            gather(pass, &mut total, width, &numbers, &mut by_rotations);
        }
        for (by, sign) in by_rotations.iter_mut().zip(&reduced.signs) {
            *by *= sign;
        }
        let mut by_parameters = memory::filled(self.num_parameters, 0.0)?;
        self.brought_back(&by_rotations, &mut by_parameters);
        for (to, &by) in gradient.iter_mut().zip(&by_parameters) {
            *to = R::from_f64(by);
        }
        Ok(())
    }
}

/// From the sums of a pass to the gradient by its rotations.
fn gather(pass: &Pass, total: &mut [f64], lanes: usize, numbers: &Numbers, by: &mut [f64]) {
    for step in &pass.steps {
        for turn in &step.turns {
            let sum: f64 = total[turn.partial..][..lanes].iter().sum();
            by[turn.rotation] = sum / numbers.since[turn.rotation].powi(2);
        }
        for group in &step.groups {
            let bins = &mut total[group.partial..][..lanes << group.masks.len()];
            entry_sums(group, bins, lanes, |entry, sum| {
                for &rotation in &group.entries[entry].rotations {
                    by[rotation] = sum;
                }
            });
        }
    }
}

/// Tasks of a pass, and tiles of each: by sizes alone.
fn tasks(plan: &Plan, pass: &Pass) -> (usize, usize) {
    let wanted = (plan.lines.amplitudes() / TASK_AMPLITUDES).clamp(1, MAX_TASKS);
    let tasks = wanted.min(pass.tiles());
    (tasks, pass.tiles() / tasks)
}

/// Runs `work` over ranges of lines.
fn for_lines(lines: Lines, team: Team, work: impl Fn(std::ops::Range<usize>) + Sync) -> Result<()> {
    let part = (TASK_AMPLITUDES >> lines.lane_bits).min(lines.count());
    team.for_each(0..lines.count() / part, |task| {
        work(task * part..(task + 1) * part);
        Ok(())
    })
}

/// Basis indices at the end, by place.
struct Ends {
    lanes: Vec<u64>,
    low: Vec<u64>,
    high: Vec<u64>,
    half: usize,
    /// Lanes that hold amplitudes.
    used: usize,
}

impl Ends {
    #[inline(always)]
    fn line(&self, line: usize) -> u64 {
        self.low[line & ((1 << self.half) - 1)] ^ self.high[line >> self.half]
    }
}

/// Writes the state at the start: |+> on some qubits, |0> on the others.
struct Start<'a, R> {
    program: &'a Program,
    lines: Lines,
    to: View<'a, R>,
    range: std::ops::Range<usize>,
}

impl<R: Real> Kernel<R> for Start<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) {
        let hadamards = self.program.hadamards;
        let amplitude = 0.5f64.powi(hadamards.count_ones() as i32).sqrt();
        let mut lanes = [R::default(); MAX_LANES];
        for (lane, value) in lanes[..V::COUNT].iter_mut().enumerate() {
            if lane as u64 & !hadamards == 0 {
                *value = R::from_f64(amplitude);
            }
        }
        let (filled, zero) = (V::read(cpu, &lanes), V::splat(cpu, R::default()));
        let lines = self.to.lines::<V, 1>(cpu, 0);
        for line in self.range {
            let index = self.lines.place((line << V::BITS) as u64);
            let to = lines.at(line * 2 * V::COUNT);
            to.set(0, 0, if index & !hadamards == 0 { filled } else { zero });
            to.set(0, 1, zero);
        }
    }
}

/// Runs `work` for every set of parameters with a row of the result: a team shares sets where there
/// are several, else the tiles of the one.
pub fn for_each_set<T: Send>(
    program: &Program,
    parameters: &[f64],
    rows: &mut [T],
    sets: usize,
    cancel: &Cancel,
    work: impl Fn(usize, &[f64], &mut [T], Team) -> Result<()> + Sync,
) -> Result<()> {
    if sets == 0 {
        return Ok(());
    }
    let (count, length) = (program.num_parameters, rows.len() / sets);
    parallel::with_team(program.dimension().saturating_mul(sets), |team| {
        let one = |set: usize, row: &mut [T], team| {
            cancel.check()?;
            work(set, &parameters[set * count..][..count], row, team)
        };
        if sets == 1 {
            let alone = program.dimension() < parallel::TEAM_AMPLITUDES;
            return one(0, rows, if alone { Team::Solo } else { team });
        }
        if length == 0 {
            return Ok(());
        }
        let rows = memory::collected(rows.chunks_mut(length).enumerate())?;
        team.for_each(rows, |(set, row)| one(set, row, Team::Solo))
    })
}
