//! A layer's first step where CNOTs run upwards: read the lines and turn the lowest qubits at once.

use crate::gather::{Gather, Packed};
use crate::kernels::butterfly::{Tangents, butterfly, store_group};
use crate::kernels::read::Source;
use crate::layer::Layer;
use crate::schedule::Step;
use crate::simd::Lanes;

/// How lanes are permuted: as prepared, as by a ladder of CNOTs without and with a flip, or not.
const ANY: usize = 0;
const LADDER: usize = 1;
const FLIPPED_LADDER: usize = 2;
const PLAIN: usize = 3;

/// The first step of one block, whose sources start at `start`, through a uniform gather.
///
/// # Safety
/// The processor has the instructions of `V`; the block's lines are this thread's, and nobody
/// writes to the source.
#[inline(always)]
pub unsafe fn first_step<V: Lanes, const J: usize>(
    block: *mut V::Real,
    source: &Source<'_, V::Real>,
    start: Packed,
    step: &Step,
    layer: &Layer<V::Real>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if source.gather.ladder {
            butterflies::<V, J, LADDER>(block, source, start, step, layer);
        } else if source.gather.plain {
            butterflies::<V, J, PLAIN>(block, source, start, step, layer);
        } else {
            butterflies::<V, J, ANY>(block, source, start, step, layer);
        }
    }
}

#[inline(always)]
unsafe fn butterflies<V: Lanes, const J: usize, const KIND: usize>(
    block: *mut V::Real,
    source: &Source<'_, V::Real>,
    start: Packed,
    step: &Step,
    layer: &Layer<V::Real>,
) {
    let Gather { lines, lows, rows, permutations, .. } = source.gather;
    debug_assert!(step.bits.start == 0 && step.run * J == lines.len() && lows.len() == lines.len());
    // SAFETY: the caller's promise; the tables cover all lines.
    unsafe {
        let tangents = Tangents::<V>::new(layer, step);
        let mut to = block;
        for group in 0..step.run {
            let first = lines.get_unchecked(group * J);
            let row = *rows.get_unchecked((start.row ^ first.row) as usize);
            let control = (start.control ^ first.control) as usize;
            debug_assert!(((start.row ^ first.row) as usize) < rows.len());
            debug_assert!(control < permutations.len());
            let index = V::load_index(permutations.get_unchecked(control));
            let mut lows = *lows.as_ptr().add(group * J).cast::<[u32; J]>();
            lows.iter_mut().for_each(|low| *low ^= start.low);
            let lows = &lows;
            let from = source.state.get().cast_const().add(row);
            if KIND != LADDER || control == 0 {
                one_row::<V, J, KIND>(to, from, lows, index, &tangents);
            } else {
                one_row::<V, J, FLIPPED_LADDER>(to, from, lows, index, &tangents);
            }
            to = to.add(2 * V::COUNT * J);
        }
    }
}

/// One butterfly with sources in one row.
#[inline(always)]
unsafe fn one_row<V: Lanes, const J: usize, const KIND: usize>(
    to: *mut V::Real,
    row: *const V::Real,
    lows: &[u32; J],
    index: V::Index,
    tangents: &Tangents<V>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        for part in [0, V::COUNT] {
            let mut x = [V::splat(V::Real::default()); J];
            for j in 0..J {
                let old = V::load(row.add(lows[j] as usize + part));
                x[j] = match KIND {
                    LADDER => old.permute_ladder::<false>(index),
                    PLAIN => old,
                    FLIPPED_LADDER => old.permute_ladder::<true>(index),
                    _ => old.permute(index),
                };
            }
            butterfly::<V, J, true>(&mut x, tangents);
            store_group(to.add(part), 2 * V::COUNT, &x);
        }
    }
}
