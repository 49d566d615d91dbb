//! Which gates of some layers go into which walk over the state.

use std::ops::Range;

use crate::ansatz::EfficientSu2;

/// The shape of walks: log2 of a tile's lines, log2 of the lines that lie together in it at least,
/// and the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub(crate) tile_bits: usize,
    pub(crate) run_bits: usize,
    pub(crate) depth: usize,
}

/// A layer's CNOTs and the qubits that it turns.
pub type Part = (Vec<(u32, u32)>, u32);

/// Windows of the line number's bits, each with `left` bits of the one before.
pub fn windows(
    line_bits: usize,
    Shape { tile_bits, run_bits, .. }: Shape,
    left: usize,
    falling: bool,
) -> Option<Vec<Range<usize>>> {
    if tile_bits > line_bits || tile_bits < run_bits + left + 1 {
        return None;
    }
    // A tile without the lowest bits has less room, for its runs.
    let size = tile_bits - run_bits;
    let mut windows = vec![];
    if falling {
        let mut window = line_bits - size..line_bits;
        while window.start > 0 {
            windows.push(window.clone());
            let end = window.start + left;
            window = if end <= tile_bits { 0..end } else { end - size..end };
        }
        windows.push(window);
    } else {
        windows.push(0..tile_bits);
        let mut end = tile_bits;
        while end < line_bits {
            let start = end - left;
            end = (start + size).min(line_bits);
            windows.push(start..end);
        }
    }
    Some(windows)
}

/// Shares the gates of `depth` layers out among walks over these sets of qubits, each as early as
/// its qubits and the gates before it allow; nothing if a gate is left over.
pub fn share_out(ansatz: &EfficientSu2, depth: usize, sets: &[u32]) -> Option<Vec<Vec<Part>>> {
    let pairs = ansatz.entanglement().pairs(ansatz.num_qubits(), 0);
    let all = ((1u64 << ansatz.num_qubits()) - 1) as u32;
    let mut left: Vec<Part> = vec![(pairs, all); depth];
    let mut walks = vec![];
    for &set in sets {
        // Qubits with a gate that must wait, and so must all that follow on them.
        let mut waiting = !set;
        let mut parts = vec![];
        for (pairs, qubits) in &mut left {
            let mut part: Part = (vec![], 0);
            pairs.retain(|&(control, target)| {
                let both = 1 << control | 1 << target;
                let wait = waiting & both != 0;
                if wait {
                    waiting |= both;
                } else {
                    part.0.push((control, target));
                }
                wait
            });
            part.1 = *qubits & !waiting;
            *qubits &= waiting;
            waiting |= *qubits;
            parts.push(part);
        }
        walks.push(parts);
    }
    left.iter().all(|(pairs, qubits)| pairs.is_empty() && *qubits == 0).then_some(walks)
}
