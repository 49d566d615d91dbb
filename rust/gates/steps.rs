//! What is done while lines are in registers: phases as they are loaded, then rotations.

use super::plan::{Limits, Lines, cosets};
use super::program::Rotation;
use super::span::{Span, parity, sums};

/// Most groups of phases of one step.
pub const MAX_GROUPS: usize = 16;
/// log2 of a group's table, in vectors.
const MAX_RANK: usize = 7;

/// Lines of one coset in registers.
#[derive(Debug, Default)]
pub struct Step {
    /// log2 of their number.
    pub slots: usize,
    /// Lines of a coset, from its first.
    pub spread: [u64; 8],
    /// What the lanes of each are exchanged by, so that a slot's bits are its flips.
    pub exchanged: [u8; 8],
    /// Whether any are.
    pub moved: bool,
    /// First lines of the cosets, from the tile's.
    pub bases: Vec<u64>,
    /// Phases, one group after another.
    pub groups: Vec<Group>,
    /// Rotations, in the order of their slots; those of lanes first.
    pub turns: Vec<Turn>,
    /// Where those of every slot end, after those of lanes.
    pub ends: [usize; 4],
    /// Whether their factors are real.
    pub real: bool,
    /// By coset, a bit for each rotation: whether its sign is turned.
    pub odd: Vec<u32>,
}

/// A rotation of slots.
#[derive(Debug)]
pub struct Turn {
    /// Its number.
    pub rotation: usize,
    /// What paired lanes differ by, where slots are not paired.
    pub lanes: u64,
    /// Whether its factor's sign is minus.
    pub negative: bool,
    /// Whose parity with the line is its sign.
    pub line_signs: u64,
    /// Whose parity with the lane is.
    pub lane_signs: u64,
    /// Of lanes, by slot, whether the sign is turned.
    pub pattern: u32,
    /// Where its vectors start in the tables.
    pub table: usize,
    /// Where its sums stand.
    pub partial: usize,
}

/// Phases whose masks' lines span few dimensions: a table of them, looked up by line.
#[derive(Debug, Default)]
pub struct Group {
    /// Masks whose lines' parts span those of the others.
    pub masks: Vec<u64>,
    /// By coset: number in the table.
    pub at_bases: Vec<u32>,
    /// By slot.
    pub at_slots: [u32; 8],
    /// By the highest of their masks.
    pub entries: Vec<Entry>,
    /// Where the table starts.
    pub table: usize,
    /// Where its sums stand.
    pub partial: usize,
}

/// A phase, or several of one mask.
#[derive(Debug)]
pub struct Entry {
    /// Whose sum its mask is, lanes aside.
    pub coordinates: u32,
    /// The mask's lanes.
    pub lane_signs: u64,
    /// The phases.
    pub rotations: Vec<usize>,
    /// Number of its angle.
    pub angle: usize,
}

impl Group {
    /// Number of a line in the table.
    #[inline(always)]
    pub fn at(&self, line: u64, lane_bits: usize) -> u32 {
        let bits = self.masks.iter().enumerate();
        bits.fold(0, |at, (place, &mask)| at | parity(mask >> lane_bits & line) << place)
    }
}

impl Step {
    /// A bit for each rotation: whether a line turns its sign.
    #[inline(always)]
    pub fn odd_of(&self, line: u64) -> u32 {
        let turns = self.turns.iter().enumerate();
        turns.fold(0, |odd, (number, turn)| odd | parity(turn.line_signs & line) << number)
    }

    /// A group of no phases, for a scale alone.
    pub fn scale_alone(&mut self) {
        let at_bases = vec![0; self.bases.len()];
        self.groups.push(Group { at_bases, ..Group::default() });
    }

    /// Gives every rotation and group its places.
    pub fn lay_out(&mut self, lanes: usize, table: &mut usize, partial: &mut usize) {
        for turn in &mut self.turns {
            (turn.table, turn.partial) = (*table, *partial);
            *table += 4 * lanes;
            *partial += lanes;
        }
        for group in &mut self.groups {
            (group.table, group.partial) = (*table, *partial);
            *table += (2 * lanes) << group.masks.len();
            *partial += lanes << group.masks.len();
        }
    }
}

/// The steps of one walk: rotations, and phases first where these must wait or more can go then.
pub fn steps_of(
    rotations: &[Rotation],
    taken: &mut Vec<usize>,
    tile: &Span,
    lines: Lines,
    limits: Limits,
    entries: &mut usize,
) -> Vec<Step> {
    let mut found = Vec::new();
    while !taken.is_empty() {
        let (mut groups, mut rest) = (Vec::new(), taken.clone());
        let (mut turning, mut flips) = pick(rotations, &mut rest, lines, limits);
        if flips.len() < limits.slots {
            let (mut later, mut count) = (taken.clone(), *entries);
            let phases = grouped(rotations, &mut later, lines, &mut count);
            let (more, wider) = pick(rotations, &mut later, lines, limits);
            if more.len() > turning.len() || turning.is_empty() {
                (groups, turning, flips, rest) = (phases, more, wider, later);
                *entries = count;
            }
        }
        *taken = rest;
        pad(rotations, &turning, &mut flips, tile, lines, limits);
        found.push(step(rotations, &turning, &flips, groups, tile, lines));
    }
    found
}

/// Most rotations of one step: their signs are bits of a number.
const MAX_TURNS: usize = 32;

/// Takes rotations that can go now, and the flips that their slots are for.
///
/// All are of one kind, real or not, in the order of their slots; and no rotation's sign depends on
/// a slot but its own, so that kernels know all signs but one.
fn pick(
    rotations: &[Rotation],
    taken: &mut Vec<usize>,
    lines: Lines,
    limits: Limits,
) -> (Vec<usize>, Vec<u64>) {
    let (mut span, mut flips) = (Span::default(), Vec::<u64>::new());
    let (mut turning, mut waiting) = (Vec::<usize>::new(), Vec::<usize>::new());
    for &place in taken.iter() {
        let rotation = &rotations[place];
        let line = rotation.flips >> lines.lane_bits;
        let slot = |r: &Rotation| flips.iter().position(|&flip| flip == r.flips);
        let room = match (line, slot(rotation)) {
            (0, _) => true,
            (_, Some(_)) => flips.iter().all(|&f| f == rotation.flips || apart(rotation, f)),
            (_, None) => {
                flips.len() < limits.slots
                    && !span.contains(line)
                    && flips.iter().all(|&flip| apart(rotation, flip))
                    && turning.iter().all(|&other| apart(&rotations[other], rotation.flips))
            }
        };
        let own = if line == 0 { None } else { Some(slot(rotation).unwrap_or(flips.len())) };
        let fits = rotation.flips != 0
            && room
            && turning.len() < MAX_TURNS
            && turning.iter().all(|&other| {
                let other = &rotations[other];
                let alike = other.quarters % 2 == rotation.quarters % 2;
                alike && (own >= slot(other) || other.commutes(rotation))
            });
        if fits && waiting.iter().all(|&other| rotations[other].commutes(rotation)) {
            turning.push(place);
            if line != 0 && span.insert(line) {
                flips.push(rotation.flips);
            }
        } else {
            waiting.push(place);
        }
    }
    turning.sort_by_key(|&place| flips.iter().position(|&flip| flip == rotations[place].flips));
    *taken = waiting;
    (turning, flips)
}

/// Fills slots that no rotation is for with other lines of the tile, of the same signs: what is done
/// for a coset, and the time until a number is there, are shared by more lines.
fn pad(
    rotations: &[Rotation],
    turning: &[usize],
    flips: &mut Vec<u64>,
    tile: &Span,
    lines: Lines,
    limits: Limits,
) {
    let own = sums(flips);
    let mut span = Span::default();
    flips.iter().for_each(|flip| {
        span.insert(flip >> lines.lane_bits);
    });
    let of_slots = |place: &&usize| rotations[**place].flips >> lines.lane_bits != 0;
    for row in tile.rows() {
        let fits = |&&sum: &&u64| {
            let flip = row << lines.lane_bits ^ sum;
            turning.iter().filter(of_slots).all(|&place| apart(&rotations[place], flip))
        };
        if flips.len() < limits.slots
            && let Some(sum) = own.iter().find(fits)
            && span.insert(row)
        {
            flips.push(row << lines.lane_bits ^ sum);
        }
    }
}

/// Whether a rotation's sign is the same on both sides of a flip; lanes' signs are looked up.
fn apart(rotation: &Rotation, flip: u64) -> bool {
    parity(rotation.signs & flip) == 0
}

/// Takes all phases that can go now, in groups.
fn grouped(
    rotations: &[Rotation],
    taken: &mut Vec<usize>,
    lines: Lines,
    entries: &mut usize,
) -> Vec<Group> {
    let mut waiting: Vec<usize> = Vec::new();
    let mut phases: Vec<(u64, Vec<usize>)> = Vec::new();
    for &place in taken.iter() {
        let rotation = &rotations[place];
        let free =
            rotation.flips == 0 && waiting.iter().all(|&other| rotations[other].commutes(rotation));
        match phases.iter_mut().find(|(mask, _)| free && *mask == rotation.signs) {
            Some((_, same)) => same.push(place),
            None if free => phases.push((rotation.signs, vec![place])),
            None => waiting.push(place),
        }
    }
    let mut groups = Vec::new();
    while !phases.is_empty() && groups.len() < MAX_GROUPS {
        let (mut span, mut group) = (Span::default(), Group::default());
        // Of masks that differ in lanes alone there is one number in the table.
        let mut whole = Span::default();
        phases.iter().for_each(|(mask, _)| {
            whole.insert(mask >> lines.lane_bits);
        });
        let part = whole.rank().div_ceil(whole.rank().div_ceil(MAX_RANK).max(1));
        for (mask, _) in &phases {
            if span.rank() < part && span.insert(mask >> lines.lane_bits) {
                group.masks.push(*mask);
            }
        }
        for (mask, same) in std::mem::take(&mut phases) {
            let (left, coordinates) = span.reduced(mask >> lines.lane_bits);
            if left != 0 {
                phases.push((mask, same));
                continue;
            }
            let lane_signs = mask & ((1 << lines.lane_bits) - 1);
            let coordinates = coordinates as u32;
            group.entries.push(Entry { coordinates, lane_signs, rotations: same, angle: *entries });
            *entries += 1;
        }
        group.entries.sort_by_key(|entry| (entry.coordinates.checked_ilog2(), entry.coordinates));
        groups.push(group);
    }
    waiting.extend(phases.into_iter().flat_map(|(_, same)| same));
    waiting.sort_unstable();
    *taken = waiting;
    groups
}

fn step(
    rotations: &[Rotation],
    turning: &[usize],
    flips: &[u64],
    mut groups: Vec<Group>,
    tile: &Span,
    lines: Lines,
) -> Step {
    let (lane_bits, lanes) = (lines.lane_bits, (1 << lines.lane_bits) - 1);
    let mut part = Span::default();
    flips.iter().for_each(|&flip| {
        part.insert(flip >> lane_bits);
    });
    let bases = cosets(tile, &part);
    let (mut spread, mut exchanged) = ([0; 8], [0; 8]);
    for (slot, sum) in sums(flips).into_iter().enumerate() {
        (spread[slot], exchanged[slot]) = (sum >> lane_bits, (sum & lanes) as u8);
    }
    for group in &mut groups {
        group.at_bases = bases.iter().map(|&base| group.at(base, lane_bits)).collect();
        group.at_slots = std::array::from_fn(|slot| group.at(spread[slot], lane_bits));
    }
    let turn = |&place: &usize| {
        let Rotation { flips: flip, signs, quarters } = rotations[place];
        let pattern = sums(flips).into_iter().enumerate();
        Turn {
            rotation: place,
            lanes: if flips.contains(&flip) { 0 } else { flip },
            negative: quarters == 1 || quarters == 2,
            line_signs: signs >> lane_bits,
            lane_signs: signs & lanes,
            pattern: pattern.fold(0, |bits, (slot, sum)| bits | parity(signs & sum) << slot),
            table: 0,
            partial: 0,
        }
    };
    let turns: Vec<_> = turning.iter().map(turn).collect();
    let end = |count: usize| {
        let within = |place: &&usize| {
            let slot = flips.iter().position(|&flip| flip == rotations[**place].flips);
            slot < Some(count) || slot.is_none()
        };
        turning.iter().filter(within).count()
    };
    let mut step = Step {
        slots: flips.len(),
        spread,
        exchanged,
        moved: exchanged.iter().any(|&lanes| lanes != 0),
        groups,
        ends: std::array::from_fn(end),
        real: turning.first().is_some_and(|&place| rotations[place].quarters % 2 == 1),
        turns,
        ..Step::default()
    };
    step.odd = bases.iter().map(|&base| step.odd_of(base)).collect();
    step.bases = bases;
    step
}
