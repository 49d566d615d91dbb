//! Gradients against the parameter-shift rule.

use proptest::prelude::*;

use super::*;
use crate::oracle::{
    self,
    strategies::{cases, circuits},
};
use crate::parallel::{Cancel, Team};
use crate::state::{Kept, with_workspace};

fn gradient<R: Kept>(
    circuit: &Circuit,
    angles: &[f64],
    cotangent: &[f64],
    level: Level,
    keep: bool,
) -> Vec<f64> {
    let cancel = Cancel::default();
    let run = Run { level, team: Team::Solo, cancel: &cancel };
    let layout = circuit.plan::<R>(level).unwrap().layout;
    let cotangent: Vec<R> = cotangent.iter().map(|&value| R::from_f64(value)).collect();
    let mut gradient = vec![R::default(); angles.len()];
    with_workspace::<R, _>(layout, |workspace| {
        let mut tape = Tape::record(circuit, angles, workspace, run)?;
        if !keep && tape.reusable() {
            let last = Buffer::<R>::new(layout.length())?;
            tape.state(circuit.reps()).part(0, layout.length()).copy_to(last.view());
            tape.states = States::Last(last);
        }
        tape.backward(circuit, &cotangent, &mut gradient, run)?;
        if keep && tape.reusable() {
            let (plan, mut followed) =
                (circuit.plan::<R>(level)?, vec![R::default(); angles.len()]);
            tape.backward_followed(circuit, plan, &cotangent, &mut followed, run)?;
            assert_eq!(followed, gradient, "another thread's sums");
        }
        Ok(())
    })
    .unwrap();
    gradient.into_iter().map(R::to_f64).collect()
}

/// The parameter-shift rule on the oracle: exact for rotations.
fn shifted(circuit: &Circuit, angles: &[f64], cotangent: &[f64]) -> Vec<f64> {
    let value = |angles: &[f64]| -> f64 {
        let state = oracle::statevector(circuit, angles);
        state.iter().zip(cotangent).map(|(amplitude, c)| amplitude.norm_sqr() * c).sum()
    };
    (0..angles.len())
        .map(|index| {
            let mut angles = angles.to_vec();
            angles[index] += std::f64::consts::FRAC_PI_2;
            let more = value(&angles);
            angles[index] -= std::f64::consts::PI;
            (more - value(&angles)) / 2.0
        })
        .collect()
}

/// Every level, with states that are kept or not, against the rule.
fn agrees(circuit: &Circuit, angles: &[f64], seed: u64) {
    let mut stream = crate::rng::Stream::new(seed, crate::rng::Domain::Angles, 9, 9);
    let cotangent: Vec<f64> =
        (0..circuit.dimension()).map(|_| 2.0 * stream.uniform() - 1.0).collect();
    let expected = shifted(circuit, angles, &cotangent);
    let close = |found: Vec<f64>, tolerance: f64, what: &str| {
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() <= tolerance, "{what}: {a} not {b}");
        }
    };
    for level in Level::available() {
        for keep in [true, false] {
            let what = format!("{level:?} {keep}");
            close(gradient::<f64>(circuit, angles, &cotangent, level, keep), 1e-12, &what);
            close(gradient::<f32>(circuit, angles, &cotangent, level, keep), 1e-5, &what);
        }
    }
}

proptest! {
    #![proptest_config(cases(96))]
    #[test]
    fn agrees_with_the_parameter_shift_rule(
        (ansatz, angles) in circuits(7, 3),
        seed in any::<u64>(),
    ) {
        agrees(&Circuit::from(ansatz), &angles, seed);
    }

    #[test]
    fn walks_of_several_layers_agree_with_the_rule(
        (circuit, angles) in crate::walk::tests::strategies::walked(8, 4),
        seed in any::<u64>(),
    ) {
        agrees(&circuit, &angles, seed);
    }
}
