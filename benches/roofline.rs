//! Where a layer's time goes: the machine's peaks, then every step of every pass.
//!
//! `cargo bench --bench roofline [-- QUBITS]`, 13 qubits by default. One thread. All times are the
//! least of many, so a busy machine makes the run longer, not the numbers worse. A step is timed by
//! itself, over the whole state; within a pass its lines come from a nearer cache.

mod machine;

use std::hint::black_box;
use std::time::Instant;

use machine::{least, peak};
use qnnw::buffer::Buffer;
use qnnw::kernels::butterfly::{Tangents, butterfly};
use qnnw::kernels::products::{CHUNK, Products, Sums};
use qnnw::kernels::read::Source;
use qnnw::kernels::sweep::{Finish, Sweep};
use qnnw::kernels::unphase::Unphase;
use qnnw::layer::{Layer, LayerAngles};
use qnnw::parallel::{Cancel, set_num_threads};
use qnnw::schedule::{Pass, Stage};
use qnnw::simd::math::HalfAngles;
use qnnw::simd::{Cpu, Kernel, Lanes, Level, Real};
use qnnw::state::Kept;
use qnnw::view::View;
use qnnw::{Circuit, EfficientSu2, Entanglement, evolve, generate};

const REPS: usize = 26;

fn main() {
    let qubits = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(13);
    set_num_threads(1).unwrap();
    let level = Level::current().unwrap();
    println!("level {}, {qubits} qubits, {REPS} repetitions, one thread\n", level.name());
    machine::<f64>("float64", level, qubits);
    machine::<f32>("float32", level, qubits);
    bandwidth();
}

/// Three qubits of eight neighbouring lines, over and over, in the first-level cache.
struct Butterflies<'a, R, const FUSED: bool> {
    lines: &'a mut [R],
    rounds: usize,
}

impl<R: Real, const FUSED: bool> Kernel<R> for Butterflies<'_, R, FUSED> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) {
        let small = V::splat(cpu, R::from_f64(1e-3));
        let tangents = Tangents { step: [small; 3], lanes: [small; 4] };
        let (size, length) = (16 * V::COUNT, self.lines.len());
        let lines = View::of(self.lines).lines::<V, 8>(cpu, 2 * V::COUNT);
        for _ in 0..self.rounds {
            for place in (0..length).step_by(size) {
                let group = lines.at(place);
                for part in [0, 1] {
                    let mut x = group.load(part);
                    butterfly::<V, 8, FUSED>(&mut x, &tangents);
                    group.store(part, &x);
                }
            }
        }
    }
}

/// Time of three qubits of eight lines, beside that of their multiply-adds at the peak.
fn report_butterflies<R: Kept>(level: Level, peak: f64) {
    const GROUPS: usize = 8;
    let numbers = (16 << level.lane_bits::<R>()) * GROUPS;
    let mut lines = vec![R::from_f64(0.01); numbers];
    let rounds = 20;
    let mut time = |fused: bool| {
        let mut best = f64::INFINITY;
        for _ in 0..20_000 {
            lines.fill(R::from_f64(0.01));
            let lines = black_box(&mut lines[..]);
            let start = Instant::now();
            if fused {
                level.run(Butterflies::<R, true> { lines, rounds });
            } else {
                level.run(Butterflies::<R, false> { lines, rounds });
            }
            best = best.min(start.elapsed().as_secs_f64());
        }
        best / (rounds * GROUPS) as f64 * 1e9
    };
    let arithmetic = (2 * 3 * numbers / GROUPS) as f64 / peak * 1e9;
    println!(
        "  three qubits of eight lines: {:.2} ns fused, {:.2} ns in the level's own form, {:.2} ns \
         of arithmetic",
        time(true),
        time(false),
        arithmetic
    );
}

fn machine<R: Kept>(name: &str, level: Level, qubits: usize) {
    let peak = peak::<R>(level);
    let circuit = Circuit::from(EfficientSu2::new(qubits, REPS, Entanglement::Linear).unwrap());
    let angles = circuit.random_angles(0).unwrap();
    let cancel = Cancel::default();
    let mut out = vec![R::default(); circuit.dimension()];
    let cotangent = vec![R::from_f64(0.5); circuit.dimension()];
    let mut gradient = vec![R::default(); circuit.num_parameters()];
    let rounds = if qubits <= 13 { 5000 } else { 20 };
    let forward = least(rounds, 1, || {
        evolve::probabilities(&circuit, &angles, &mut out, &cancel).unwrap();
    });
    let both = least(rounds, 1, || {
        generate::probabilities_vjp(&circuit, &angles, &cotangent, &mut gradient, &cancel).unwrap();
    });
    // The tangent form's own work: one multiply-add per number and qubit, eight for the phases.
    let work = 2.0 * (2 * qubits + 8) as f64 * REPS as f64 * (1u64 << qubits) as f64;
    println!("{name}: peak {:.1} GFLOP/s", peak / 1e9);
    report_butterflies::<R>(level, peak);
    println!(
        "  forward {:.1} us = {:.1} GFLOP/s, {:.0} % of the peak; forward and backward {:.1} us, {:.2} times",
        forward * 1e6,
        work / forward / 1e9,
        100.0 * work / forward / peak,
        both * 1e6,
        both / forward
    );
    Layers::<R>::new(&circuit, &angles, level).report(&circuit, peak);
    println!();
}

/// One layer at hand, with a state to read and one to write.
struct Layers<R> {
    level: Level,
    layer: Layer<R>,
    inverse: Layer<R>,
    from: Buffer<R>,
    to: Buffer<R>,
}

impl<R: Kept> Layers<R> {
    fn new(circuit: &Circuit, angles: &[f64], level: Level) -> Self {
        let plan = circuit.plan::<R>(level).unwrap();
        let mut halves = HalfAngles::default();
        halves.fill(level, angles).unwrap();
        let one = LayerAngles::new(&halves, 1, circuit.num_qubits());
        let (mut layer, mut inverse) = (Layer::default(), Layer::default());
        layer.fill(plan.layout, plan.split, one, 0, level).unwrap();
        inverse.fill_inverse_rotations(plan.layout, one, 0);
        inverse.fill_inverse_phases(plan.layout, one, [0, 0], 1.0, level).unwrap();
        let length = plan.layout.length();
        let [from, to] = [0, 1].map(|_| Buffer::new(length).unwrap());
        Self { level, layer, inverse, from, to }
    }

    /// Numbers of ordinary size: repeated rotations without their scale would overflow.
    fn refill(&mut self) {
        for buffer in [&self.from, &self.to] {
            for place in 0..buffer.length() {
                buffer.view().set(place, R::from_f64(0.01));
            }
        }
    }

    fn time(&mut self, mut work: impl FnMut(&mut Self)) -> f64 {
        let mut best = f64::INFINITY;
        for _ in 0..100 {
            self.refill();
            best = best.min(least(1, 5, || work(self)));
        }
        best
    }

    fn sweep(&mut self, circuit: &Circuit, pass: &Pass, first: bool, finish: Finish, layer: bool) {
        let plan = circuit.plan::<R>(self.level).unwrap();
        let source = Source { state: self.from.view(), gather: plan.forward(0) };
        self.level.run(Sweep {
            pass,
            layer: if layer { &self.layer } else { &self.inverse },
            state: self.to.view(),
            source: first.then_some(source),
            finish,
            kept: None,
            tiles: 0..pass.tiles.len(),
        });
    }

    fn report(&mut self, circuit: &Circuit, peak: f64) {
        self.report_forward(circuit, peak);
        self.report_backward(circuit);
    }

    fn report_forward(&mut self, circuit: &Circuit, peak: f64) {
        let passes = circuit.plan::<R>(self.level).unwrap().schedule.passes.clone();
        let amplitudes = circuit.dimension() as f64;
        let mut total = 0.0;
        for (number, pass) in passes.iter().enumerate() {
            let last = number + 1 == passes.len();
            let finish = if last { Finish::Phases } else { Finish::Open };
            let whole = self.time(|this| this.sweep(circuit, pass, number == 0, finish, true));
            total += whole;
            println!("  pass {number}: {:.2} us a layer", whole * 1e6);
            for (index, stage) in pass.stages.iter().enumerate() {
                for (order, step) in stage.steps.iter().enumerate() {
                    let stage = Stage { blocks: stage.blocks.clone(), steps: vec![step.clone()] };
                    let alone = Pass { tiles: pass.tiles.clone(), stages: vec![stage] };
                    let first = (number, index, order) == (0, 0, 0);
                    let ends = last
                        && index + 1 == pass.stages.len()
                        && order + 1 == pass.stages[index].steps.len();
                    let finish = if ends { Finish::Phases } else { Finish::Open };
                    let seconds =
                        self.time(|this| this.sweep(circuit, &alone, first, finish, true));
                    println!(
                        "    bits {:?}{}{}{}: {:.2} us by itself",
                        step.bits,
                        if first { ", CNOTs" } else { "" },
                        if step.lanes { ", lanes" } else { "" },
                        if ends { ", phases" } else { "" },
                        seconds * 1e6
                    );
                }
            }
        }
        let work = 2.0 * (2 * circuit.num_qubits() + 8) as f64 * amplitudes;
        println!(
            "  all passes: {:.2} us a layer, {:.0} % of the peak",
            total * 1e6,
            100.0 * work / total / peak
        );
    }

    fn report_backward(&mut self, circuit: &Circuit) {
        let plan = circuit.plan::<R>(self.level).unwrap();
        let schedule = plan.schedule.passes.clone();
        let seconds = self.time(|this| {
            for (number, pass) in schedule.iter().enumerate() {
                let last = number + 1 == schedule.len();
                let finish = if last { Finish::Rotations } else { Finish::Open };
                this.sweep(circuit, pass, false, finish, false);
            }
        });
        println!("  back, rotations: {:.2} us a layer", seconds * 1e6);
        let seconds = self.time(|this| {
            let pass = &schedule[0];
            let source = Source { state: this.from.view(), gather: plan.backward(0) };
            let phases = &this.inverse.phases;
            let state = this.to.view();
            this.level.run(Unphase {
                pass,
                source,
                phases: Some(phases),
                state,
                tiles: 0..pass.tiles.len(),
            });
        });
        println!("  back, CNOTs and phases: {:.2} us a layer", seconds * 1e6);
        let mut sums = vec![Sums::default(); 1 << plan.layout.line_bits];
        let seconds = self.time(|this| {
            for (number, pass) in plan.products.passes.iter().enumerate() {
                this.level.run(Products {
                    pass,
                    first: number == 0,
                    lanes: true,
                    line_bits: plan.layout.line_bits,
                    adjoint: this.from.view(),
                    state: this.to.view(),
                    chunks: 0..pass.tiles.len().div_ceil(CHUNK),
                    sums: View::of(&mut sums),
                });
            }
        });
        println!("  back, products: {:.2} us a layer", seconds * 1e6);
    }
}

/// Bytes per second, read and written, of a multiplication out of place and in place.
fn bandwidth() {
    for kib in [16usize, 128, 256, 4096, 262_144] {
        let length = kib << 7;
        let (from, mut to) = (vec![1.0f64; length], vec![1.0f64; length]);
        let rounds = if kib > 8192 { 10 } else { 300 };
        let calls = (1024 / kib).max(1);
        let copy = least(rounds, calls, || {
            let pairs = black_box(&mut to).iter_mut().zip(black_box(&from));
            pairs.for_each(|(to, from)| *to = from * 1.5);
        });
        let scale = least(rounds, calls, || {
            black_box(&mut to).iter_mut().for_each(|value| *value *= 1.000_000_1);
        });
        let rate = |seconds: f64| 2.0 * (length * 8) as f64 / seconds / 1e9;
        println!(
            "{kib} KiB: out of place {:.1} GB/s, in place {:.1} GB/s",
            rate(copy),
            rate(scale)
        );
    }
}
