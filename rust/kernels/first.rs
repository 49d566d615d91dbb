//! A layer's first step where CNOTs run upwards: read the lines and turn the lowest qubits at once.

use crate::gather::{Gather, Packed};
use crate::kernels::butterfly::{Tangents, butterfly};
use crate::kernels::read::Source;
use crate::layer::Layer;
use crate::schedule::Step;
use crate::simd::{Cpu, Lanes, MAX_LANES};
use crate::view::{Group, Scattered, View};

/// How lanes are permuted: as prepared, as by a ladder of CNOTs without and with a flip, or not.
const ANY: usize = 0;
const LADDER: usize = 1;
const FLIPPED_LADDER: usize = 2;
const PLAIN: usize = 3;

/// The first step of the block at `block`, whose sources start at `start`, through a uniform gather.
#[inline(always)]
pub fn first_step<V: Lanes, const J: usize>(
    cpu: Cpu<V>,
    (state, block): (View<'_, V::Real>, usize),
    source: &Source<'_, V::Real>,
    start: Packed,
    (step, layer): (&Step, &Layer<V::Real>),
) {
    let (to, tangents) = ((state, block), &Tangents::new(cpu, layer, step));
    if source.gather.ladder {
        butterflies::<V, J, LADDER>(cpu, to, source, start, tangents);
    } else if source.gather.plain {
        butterflies::<V, J, PLAIN>(cpu, to, source, start, tangents);
    } else {
        butterflies::<V, J, ANY>(cpu, to, source, start, tangents);
    }
}

#[inline(always)]
fn butterflies<V: Lanes, const J: usize, const KIND: usize>(
    cpu: Cpu<V>,
    (state, block): (View<'_, V::Real>, usize),
    source: &Source<'_, V::Real>,
    start: Packed,
    tangents: &Tangents<V>,
) {
    let Gather { lines, lows, rows, last_low, permutations, .. } = source.gather;
    let from = source.state.spread(cpu, rows, *last_low);
    let (stride, count) = (2 * V::COUNT, lines.len() / J);
    let to = state.lines::<V, J>(cpu, stride).groups(block, stride * J, count);
    let (lows, _) = lows.as_chunks::<J>();
    for group in 0..count {
        let first = lines[group * J];
        let row = from.row(start.row ^ first.row);
        let control = (start.control ^ first.control) as usize;
        let index = V::load_index(cpu, &permutations[control % MAX_LANES]);
        let old = row.lines(lows[group].map(|low| low ^ start.low));
        let new = to.at(group);
        if KIND != LADDER || control == 0 {
            one_row::<V, J, KIND>(cpu, &old, new, index, tangents);
        } else {
            one_row::<V, J, FLIPPED_LADDER>(cpu, &old, new, index, tangents);
        }
    }
}

/// One butterfly with sources in one row.
#[inline(always)]
fn one_row<V: Lanes, const J: usize, const KIND: usize>(
    cpu: Cpu<V>,
    old: &Scattered<'_, V, J>,
    new: Group<'_, V, J>,
    index: V::Index,
    tangents: &Tangents<V>,
) {
    for part in [0, 1] {
        let mut x = [V::splat(cpu, V::Real::default()); J];
        for line in 0..J {
            let old = old.get(line, part);
            x[line] = match KIND {
                LADDER => old.permute_ladder::<false>(index),
                PLAIN => old,
                FLIPPED_LADDER => old.permute_ladder::<true>(index),
                _ => old.permute(index),
            };
        }
        butterfly::<V, J, true>(&mut x, tangents);
        new.store(part, &x);
    }
}
