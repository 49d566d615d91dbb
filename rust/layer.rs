//! The numbers of one rotation layer, as the kernels want them.
//!
//! RY(theta) with theta/2 = n pi/2 + r, |r| <= pi/4, is J^n RY(2r) with J = RY(pi), and
//! RY(2r) = cos r [[1, -t], [t, 1]] with t = tan r: one multiply-add per number, the cosines
//! gathered in the layer's `scale`. J = X Z costs nothing: Z = i RZ(pi) joins the phases, and X stays
//! undone. The stored state is the true one up to bit flips, the *frame*: the true amplitude at y is
//! stored at y ^ frame. A flip turns the signs of a qubit's later angles, and CNOTs move the frame as
//! they move a basis index. What is left over is a global phase, a power of i.

use std::ops::Range;

use crate::error::Result;
use crate::layout::{Layout, MAX_BLOCK_LINES};
use crate::memory;
use crate::simd::math::HalfAngles;
use crate::simd::{Cpu, Kernel, Lanes, Level, Real};

/// Bits of the line number that the low phase table covers, at most.
const LOW_BITS: usize = 8;
// Kernels run through the low table along a run of lines, half of a block at most.
const _: () = assert!(MAX_BLOCK_LINES / 2 <= 1 << LOW_BITS);
/// Most bits of the line number that there can be.
const MAX_LINE_BITS: usize = 31;

/// A complex number of a phase table.
pub type Phase<R> = [R; 2];

/// One rotation layer.
#[derive(Debug, Clone)]
pub struct Layer<R> {
    /// tan r per bit of the line number.
    pub tangents: [R; MAX_LINE_BITS],
    /// For every lane qubit, -tan r in lanes where it is 0 and tan r where it is 1.
    pub lane_tangents: Vec<R>,
    /// Product of all cos r, which the tangent form leaves out.
    pub scale: f64,
    /// Basis index whose bits are the qubits stored flipped before the layer.
    pub frame_before: usize,
    /// Those stored flipped after it.
    pub frame: usize,
    /// The global phase is i to this power.
    pub quarter_turns: usize,
    /// The phases.
    pub phases: Phases<R>,
}

/// exp(i/2 sum_q ±phi_q) for every basis index, as a product of three tables.
#[derive(Debug, Clone, Default)]
pub struct Phases<R> {
    /// Bits of the line number in the low table.
    pub low_bits: usize,
    /// By the lowest bits of the line number: a line of phases, times the layer's scale.
    pub low: Vec<R>,
    /// By the bits between.
    pub middle: Vec<Phase<R>>,
    /// By the bits of the last step; those of an index and of its complement are conjugate.
    pub high: [Phase<R>; 8],
}

/// How the bits of a line number are shared out among the tables of phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Bits of the low table.
    pub low_bits: usize,
    /// Bits of the low and the middle table.
    pub below: usize,
    /// Bits above those: the last step's. Where there are more bits, they have no phases.
    pub last_bits: usize,
}

impl Split {
    /// The split for a last step of these bits, and a low table of `low_bits` at most.
    pub fn new(last: &Range<usize>, low_bits: usize) -> Self {
        let low_bits = last.start.min(low_bits).min(LOW_BITS);
        Self { low_bits, below: last.start, last_bits: last.len() }
    }
}

impl<R: Real> Default for Layer<R> {
    fn default() -> Self {
        Self {
            tangents: [R::default(); MAX_LINE_BITS],
            lane_tangents: Vec::new(),
            scale: 1.0,
            frame_before: 0,
            frame: 0,
            quarter_turns: 0,
            phases: Phases::default(),
        }
    }
}

/// The angles of one layer out of a circuit's: RY, then RZ.
#[derive(Clone, Copy)]
pub struct LayerAngles<'a> {
    angles: &'a HalfAngles,
    start: usize,
    num_qubits: usize,
    /// The circuit's qubit by a tile's, where it is turned there.
    qubits: Option<&'a [Option<usize>]>,
}

impl<'a> LayerAngles<'a> {
    /// Layer number `layer`.
    pub fn new(angles: &'a HalfAngles, layer: usize, num_qubits: usize) -> Self {
        Self { angles, start: 2 * num_qubits * layer, num_qubits, qubits: None }
    }

    /// Those of a tile with these qubits; the others are turned by 0.
    pub fn of(self, qubits: &'a [Option<usize>]) -> Self {
        Self { qubits: Some(qubits), ..self }
    }

    /// Number of the circuit's qubit, if it is turned.
    fn qubit(self, qubit: usize) -> Option<usize> {
        match self.qubits {
            Some(qubits) => qubits[qubit],
            None => (qubit < self.num_qubits).then_some(qubit),
        }
    }

    /// n, cos r and sin r of an RY; those of a rotation by 0 beyond the circuit's qubits.
    fn ry(self, qubit: usize) -> (usize, f64, f64) {
        let Some(qubit) = self.qubit(qubit) else { return (0, 1.0, 0.0) };
        let place = self.start + qubit;
        let HalfAngles { quarter_turns, cos, sin } = self.angles;
        (quarter_turns[place] as usize, cos[place], sin[place])
    }

    /// cos and sin of half an RZ angle.
    fn rz(self, qubit: usize) -> (f64, f64) {
        let Some(qubit) = self.qubit(qubit) else { return (1.0, 0.0) };
        let place = self.start + self.num_qubits + qubit;
        let HalfAngles { quarter_turns, cos, sin } = self.angles;
        turned(quarter_turns[place] as usize, cos[place], sin[place])
    }

    /// Amplitudes of |0> and |1> after a Hadamard and the RY; |0> beyond the circuit's qubits.
    pub fn start(self, qubit: usize) -> [f64; 2] {
        if qubit >= self.num_qubits {
            return [1.0, 0.0];
        }
        let (turns, cos, sin) = self.ry(qubit);
        let (cos, sin) = turned(turns, cos, sin);
        let half = std::f64::consts::FRAC_1_SQRT_2;
        [(cos - sin) * half, (cos + sin) * half]
    }
}

/// cos and sin of n pi/2 + r.
fn turned(turns: usize, cos: f64, sin: f64) -> (f64, f64) {
    match turns % 4 {
        0 => (cos, sin),
        1 => (-sin, cos),
        2 => (-cos, -sin),
        _ => (sin, -cos),
    }
}

impl<R: Real> Layer<R> {
    /// Takes on the angles of a layer, from the frame that the state is stored in.
    pub fn fill(
        &mut self,
        layout: Layout,
        split: Split,
        angles: LayerAngles<'_>,
        frame: usize,
        level: Level,
    ) -> Result<()> {
        self.fill_rotations(layout, angles, frame);
        let frames = [self.frame_before, self.frame];
        let half_phase = |qubit: usize| stored_phase(angles, frames, qubit);
        self.phases.fill(layout, split, self.scale, half_phase, level)
    }

    /// Takes on the phases of the first layer, whose rotations are in the product state.
    pub fn fill_phases(
        &mut self,
        layout: Layout,
        split: Split,
        angles: LayerAngles<'_>,
        level: Level,
    ) -> Result<()> {
        self.scale = 1.0;
        (self.frame_before, self.frame, self.quarter_turns) = (0, 0, 0);
        self.phases.fill(layout, split, 1.0, |qubit| angles.rz(qubit), level)
    }

    /// Takes on no phases at all: those of a circuit that ends with its first layer.
    pub fn fill_no_phases(&mut self, layout: Layout, split: Split, level: Level) -> Result<()> {
        self.scale = 1.0;
        (self.frame_before, self.frame, self.quarter_turns) = (0, 0, 0);
        self.phases.fill(layout, split, 1.0, |_| (1.0, 0.0), level)
    }

    /// Takes on a scale alone, in the place of phases.
    pub fn fill_scale(&mut self, layout: Layout, scale: f64, level: Level) -> Result<()> {
        let bits = layout.line_bits;
        let split = Split::new(&(bits..bits), LOW_BITS);
        self.phases.fill(layout, split, scale, |_| (1.0, 0.0), level)
    }

    fn fill_rotations(&mut self, layout: Layout, angles: LayerAngles<'_>, frame: usize) {
        self.scale = 1.0;
        (self.frame_before, self.frame, self.quarter_turns) = (frame, frame, 0);
        self.lane_tangents.resize(layout.lane_bits << layout.lane_bits, R::default());
        for qubit in 0..layout.padded_qubits() {
            let (turns, cos, sin) = angles.ry(qubit);
            let flipped = (frame >> qubit) & 1;
            let odd = turns & 1;
            self.scale *= cos;
            // J X = -X J.
            self.quarter_turns += turns + 2 * (flipped & odd);
            self.frame ^= odd << qubit;
            let tangent = if flipped == 1 { -sin / cos } else { sin / cos };
            let tangent = R::from_f64(tangent);
            if qubit < layout.line_bits {
                self.tangents[qubit] = tangent;
                continue;
            }
            let bit = qubit - layout.line_bits;
            let lanes = &mut self.lane_tangents[bit << layout.lane_bits..][..1 << layout.lane_bits];
            for (lane, signed) in lanes.iter_mut().enumerate() {
                *signed = if (lane >> bit) & 1 == 0 { -tangent } else { tangent };
            }
        }
    }

    /// Takes on a layer's rotations, inverted, from the frame before the layer.
    pub fn fill_inverse_rotations(
        &mut self,
        layout: Layout,
        angles: LayerAngles<'_>,
        frame: usize,
    ) {
        self.fill_rotations(layout, angles, frame);
        for tangent in self.tangents.iter_mut().chain(&mut self.lane_tangents) {
            *tangent = -*tangent;
        }
    }

    /// Takes on a layer's phases, inverted and multiplied by `scale`; the frames are those before
    /// and after the layer.
    pub fn fill_inverse_phases(
        &mut self,
        layout: Layout,
        angles: LayerAngles<'_>,
        frames: [usize; 2],
        scale: f64,
        level: Level,
    ) -> Result<()> {
        let half_phase = |qubit: usize| {
            let (cos, sin) = stored_phase(angles, frames, qubit);
            (cos, -sin)
        };
        let bits = layout.line_bits;
        self.phases.fill(layout, Split::new(&(bits..bits), LOW_BITS), scale, half_phase, level)
    }
}

/// cos and sin of half an RZ angle, as it acts on the stored state.
fn stored_phase(angles: LayerAngles<'_>, [before, after]: [usize; 2], qubit: usize) -> (f64, f64) {
    let (cos, sin) = angles.rz(qubit);
    let sin = if (after >> qubit) & 1 == 1 { -sin } else { sin };
    // Half a turn more where Z is absorbed.
    if ((before ^ after) >> qubit) & 1 == 1 { (-sin, cos) } else { (cos, sin) }
}

impl<R: Real> Phases<R> {
    fn fill(
        &mut self,
        layout: Layout,
        Split { low_bits, below, last_bits }: Split,
        scale: f64,
        half_phase: impl Fn(usize) -> (f64, f64),
        level: Level,
    ) -> Result<()> {
        self.low_bits = low_bits;
        // The phase of all zeros among the low bits, and what a one multiplies it by.
        let mut start = [scale, 0.0];
        let mut turns = [[R::default(); 2]; LOW_BITS];
        for (bit, turn) in turns.iter_mut().enumerate().take(self.low_bits) {
            let (cos, sin) = half_phase(bit);
            start = product(start, [cos, -sin]);
            *turn = single([cos * cos - sin * sin, 2.0 * cos * sin]);
        }
        let mut lanes = [[0.0; 2]; 16];
        lanes[0] = start;
        for bit in 0..layout.lane_bits {
            let (cos, sin) = half_phase(layout.line_bits + bit);
            for lane in 0..1 << bit {
                lanes[lane | 1 << bit] = product(lanes[lane], [cos, sin]);
                lanes[lane] = product(lanes[lane], [cos, -sin]);
            }
        }
        self.low.resize(2 << (layout.lane_bits + self.low_bits), R::default());
        level.run(FillLow { lanes: &lanes, turns: &turns[..self.low_bits], low: &mut self.low });

        self.middle.clear();
        self.middle.push(single([1.0, 0.0]));
        if below > self.low_bits {
            let length = 1 << (below - self.low_bits);
            let mut middle = memory::filled(length, [1.0, 0.0])?;
            for (bit, half) in (self.low_bits..below).enumerate() {
                let (cos, sin) = half_phase(half);
                let (zeros, ones) = middle[..2 << bit].split_at_mut(1 << bit);
                for (zero, one) in zeros.iter_mut().zip(ones) {
                    *one = product(*zero, [cos, sin]);
                    *zero = product(*zero, [cos, -sin]);
                }
            }
            self.middle.clear();
            memory::reserve(&mut self.middle, length)?;
            self.middle.extend(middle.into_iter().map(single));
        }

        let mut high = [[1.0, 0.0]; 8];
        for bit in 0..last_bits {
            let (cos, sin) = half_phase(below + bit);
            for index in 0..1 << bit {
                high[index | 1 << bit] = product(high[index], [cos, sin]);
                high[index] = product(high[index], [cos, -sin]);
            }
        }
        self.high = high.map(single);
        Ok(())
    }

    /// The phase of a line and lane, scale included.
    pub fn at(&self, layout: Layout, line: usize, lane: usize) -> Phase<f64> {
        let low = line & ((1 << self.low_bits) - 1);
        let rest = line >> self.low_bits;
        let middle = self.middle[rest & (self.middle.len() - 1)];
        let high = self.high[rest / self.middle.len()];
        let place = (low << (layout.lane_bits + 1)) + lane;
        let low = [self.low[place], self.low[place + (1 << layout.lane_bits)]];
        let double = |phase: Phase<R>| phase.map(R::to_f64);
        product(product(double(low), double(middle)), double(high))
    }
}

fn product(a: Phase<f64>, b: Phase<f64>) -> Phase<f64> {
    [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
}

fn single<R: Real>(phase: Phase<f64>) -> Phase<R> {
    phase.map(R::from_f64)
}

/// Fills the low table by doubling: every bit multiplies what is there by its turn.
struct FillLow<'a, R> {
    lanes: &'a [Phase<f64>; 16],
    turns: &'a [Phase<R>],
    low: &'a mut [R],
}

impl<R: Real> Kernel<R> for FillLow<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) {
        for lane in 0..V::COUNT {
            self.low[lane] = R::from_f64(self.lanes[lane][0]);
            self.low[V::COUNT + lane] = R::from_f64(self.lanes[lane][1]);
        }
        let line = 2 * V::COUNT;
        for (bit, turn) in self.turns.iter().enumerate() {
            let (known, new) = self.low[..(line << bit) * 2].split_at_mut(line << bit);
            let (cos, sin) = (V::splat(cpu, turn[0]), V::splat(cpu, turn[1]));
            for (known, new) in known.chunks_exact(line).zip(new.chunks_exact_mut(line)) {
                let (re, im) = (V::read(cpu, known), V::read(cpu, &known[V::COUNT..]));
                im.neg_mul_add(sin, re.mul(cos)).write(new);
                re.mul_add(sin, im.mul(cos)).write(&mut new[V::COUNT..]);
            }
        }
    }
}
