//! What a circuit's plan does, in words.

use crate::circuit::Circuit;
use crate::error::Result;
use crate::gradient::keeps;
use crate::layout::Layout;
use crate::schedule::Pass;
use crate::simd::{Level, Real};
use crate::walk::{Op, Walk};

/// The plan of a precision at a level: walks over the state, their tiles, and the layers of each.
pub fn plan<R: Real>(circuit: &Circuit, level: Level) -> Result<String> {
    let plan = circuit.plan::<R>(level)?;
    let layout = plan.layout;
    let mut lines = vec![format!(
        "{} qubits, {} repetitions, float{} by {}: a state of {} in 2^{} lines of {} amplitudes.",
        circuit.num_qubits(),
        circuit.reps(),
        8 * size_of::<R>(),
        level.name(),
        bytes::<R>(layout, layout.line_bits),
        layout.line_bits,
        1 << layout.lane_bits
    )];
    match &plan.walks {
        Some(walks) => {
            for (count, depth, walks) in walks.kinds() {
                let each = if count == 1 { "" } else { " each" };
                lines.push(format!(
                    "{} of {}, {} over the state{each}, in place:",
                    several(count, "block", "blocks"),
                    several(depth, "layer", "layers"),
                    several(walks.len(), "walk", "walks"),
                ));
                let walks = walks.iter().enumerate();
                lines.extend(walks.map(|(number, walk)| walked::<R>(number + 1, walk)));
            }
        }
        None => {
            let passes = &plan.schedule.passes;
            lines.push(format!(
                "Every layer: {} over the state, the first through the CNOTs into a second one:",
                several(passes.len(), "walk", "walks")
            ));
            let passes = passes.iter().enumerate();
            lines.extend(passes.map(|(number, pass)| passed::<R>(number + 1, layout, pass)));
        }
    }
    let way = if keeps::<R>(circuit, plan) {
        "with the states of all layers, which are kept."
    } else {
        "taking the last state back along with its adjoint."
    };
    lines.push(format!("The gradient goes back by the same tiles, {way}"));
    Ok(lines.join("\n"))
}

fn walked<R: Real>(number: usize, walk: &Walk) -> String {
    let turned = |op: &Op| op.qubits.iter().flatten().count().to_string();
    let turned: Vec<_> = walk.ops.iter().map(turned).collect();
    format!(
        "  {number}. {} of {}, {} qubits; layer after layer it turns {} of them",
        several(walk.tiles.len(), "tile", "tiles"),
        bytes::<R>(walk.layout, walk.layout.line_bits),
        walk.layout.num_qubits,
        turned.join(", ")
    )
}

fn passed<R: Real>(number: usize, layout: Layout, pass: &Pass) -> String {
    let steps = pass.stages.iter().flat_map(|stage| &stage.steps);
    let lanes = |lanes| if lanes { layout.lane_bits } else { 0 };
    let turned: Vec<_> =
        steps.map(|step| (step.bits.len() + lanes(step.lanes)).to_string()).collect();
    let tile_bits = layout.line_bits - pass.tiles.len().ilog2() as usize;
    format!(
        "  {number}. {} of {}; step after step it turns {} qubits",
        several(pass.tiles.len(), "tile", "tiles"),
        bytes::<R>(layout, tile_bits),
        turned.join(", ")
    )
}

/// So many of something.
fn several(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// The size of so many lines.
fn bytes<R: Real>(layout: Layout, line_bits: usize) -> String {
    let bytes = (2 * size_of::<R>()) << (line_bits + layout.lane_bits);
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|&(unit, _)| bytes >= unit) {
        Some((unit, name)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}
