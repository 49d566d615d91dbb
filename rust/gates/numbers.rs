//! One set of parameters: sines, cosines, and what of the rotations is left to nobody.

use super::plan::Plan;
use super::program::Program;
use super::span::parity;
use crate::error::Result;
use crate::memory;
use crate::simd::math::HalfAngles;

/// Rotations reduced to an eighth of a turn, with signs.
///
/// exp(-i angle P / 2) = (cos r - i sin r P)(-i P)^n for |r| <= pi/4. P is no work: it is taken past
/// all later rotations, whose angles change signs where they do not commute with it, and moves the
/// basis at the end. So tangents are at most 1, and cosines are left out of the kernels.
#[derive(Debug, Default)]
pub struct Reduced {
    /// Angles with their signs.
    pub angles: Vec<f64>,
    /// 1, or -1 where the sign is changed.
    pub signs: Vec<f64>,
    /// cos r, and sin r with the sign.
    pub halves: HalfAngles,
    /// What basis states are moved by at the end.
    pub flips: u64,
}

impl Reduced {
    /// Of one set of parameters.
    pub fn new(program: &Program, parameters: &[f64]) -> Result<Self> {
        let mut angles = program.evaluated(parameters)?;
        let mut signs = memory::filled(angles.len(), 1.0)?;
        let mut halves = HalfAngles::default();
        halves.fill(program.level, &angles)?;
        let (mut flips, mut turned) = (0, 0);
        for (place, rotation) in program.rotations.iter().enumerate() {
            if parity(rotation.flips & turned ^ rotation.signs & flips) == 1 {
                signs[place] = -1.0;
                angles[place] = -angles[place];
                halves.sin[place] = -halves.sin[place];
            }
            if rotation.flips != 0 && halves.quarter_turns[place] % 2 == 1 {
                flips ^= rotation.flips;
                turned ^= rotation.signs;
            }
        }
        Ok(Self { angles, signs, halves, flips })
    }
}

/// What a plan's tables are made of.
#[derive(Debug, Default)]
pub struct Numbers {
    /// Tangents by rotation.
    pub tangents: Vec<f64>,
    /// (cos, sin) of half of every entry's angle.
    pub phases: Vec<(f64, f64)>,
    /// By step, all passes one after another: the product of the cosines that were left out before.
    pub scales: Vec<f64>,
    /// By rotation: what the state has to be multiplied by after it, which is part of that product.
    pub since: Vec<f64>,
    /// The product at the end.
    pub last: f64,
}

impl Numbers {
    /// For one plan.
    pub fn new(plan: &Plan, program: &Program, reduced: &Reduced) -> Result<Self> {
        let Reduced { angles, halves, .. } = reduced;
        let tangents = halves.sin.iter().zip(&halves.cos).map(|(sin, cos)| sin / cos);
        let mut numbers = Self {
            tangents: memory::collected(tangents)?,
            since: memory::filled(angles.len(), 1.0)?,
            last: 1.0,
            ..Self::default()
        };
        let mut sums = memory::filled(plan.entries, 0.0)?;
        for step in plan.passes.iter().flat_map(|pass| &pass.steps) {
            numbers.scales.push(numbers.last);
            if !step.groups.is_empty() {
                numbers.last = 1.0;
            }
            for entry in step.groups.iter().flat_map(|group| &group.entries) {
                sums[entry.angle] = entry.rotations.iter().map(|&place| angles[place]).sum();
            }
            for turn in &step.turns {
                numbers.last *= halves.cos[turn.rotation];
                numbers.since[turn.rotation] = numbers.last;
            }
        }
        let mut turned = HalfAngles::default();
        turned.fill(program.level, &sums)?;
        let phase = |place| {
            let (cos, sin): (f64, f64) = (turned.cos[place], turned.sin[place]);
            match turned.quarter_turns[place] {
                0 => (cos, sin),
                1 => (-sin, cos),
                2 => (-cos, -sin),
                _ => (sin, -cos),
            }
        };
        numbers.phases = memory::collected((0..plan.entries).map(phase))?;
        Ok(numbers)
    }
}
