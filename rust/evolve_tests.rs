//! The evolution against the oracle, level by level.

use proptest::prelude::*;

use super::*;
use crate::oracle::{
    self,
    strategies::{cases, circuits},
};

/// State and probabilities at one level, in double precision.
fn evolved<R: Kept>(
    circuit: &Circuit,
    angles: &[f64],
    level: Level,
) -> (Vec<Complex<f64>>, Vec<f64>) {
    let cancel = Cancel::default();
    let run = Run { level, team: Team::Solo, cancel: &cancel };
    let layout = circuit.plan::<R>(level).unwrap().layout;
    let mut state = vec![Complex::new(R::default(), R::default()); circuit.dimension()];
    let mut probabilities = vec![R::default(); circuit.dimension()];
    with_workspace::<R, _>(layout, |workspace| {
        let turns = evolve(circuit, angles, workspace, run, None)?;
        write_statevector(circuit, workspace, turns, &mut state, run)?;
        measure(circuit, workspace, &mut probabilities, run)
    })
    .unwrap();
    let double = |value: &Complex<R>| Complex::new(value.re.to_f64(), value.im.to_f64());
    (state.iter().map(double).collect(), probabilities.into_iter().map(R::to_f64).collect())
}

fn agrees<R: Kept>(circuit: &Circuit, angles: &[f64], tolerance: f64) {
    let expected = oracle::statevector(circuit, angles);
    for level in Level::available() {
        let (state, probabilities) = evolved::<R>(circuit, angles, level);
        for ((a, p), b) in state.iter().zip(&probabilities).zip(&expected) {
            assert!((a - b).norm() <= tolerance, "{level:?}: {a} instead of {b}");
            assert!((p - b.norm_sqr()).abs() <= tolerance, "{level:?}");
        }
    }
}

proptest! {
    #![proptest_config(cases(256))]
    #[test]
    fn every_level_agrees_with_the_oracle((ansatz, angles) in circuits(10, 5)) {
        let circuit = Circuit::from(ansatz);
        agrees::<f64>(&circuit, &angles, 1e-12);
        agrees::<f32>(&circuit, &angles, 1e-5);
    }
}

proptest! {
    #![proptest_config(cases(256))]
    #[test]
    fn walks_of_several_layers_agree_with_the_oracle(
        (circuit, angles) in crate::walk::tests::strategies::walked(11, 9),
    ) {
        agrees::<f64>(&circuit, &angles, 1e-12);
        agrees::<f32>(&circuit, &angles, 1e-5);
    }
}

proptest! {
    #![proptest_config(cases(12))]
    #[test]
    fn large_states_agree_with_the_oracle((ansatz, angles) in circuits(16, 2)) {
        let circuit = Circuit::from(ansatz);
        agrees::<f64>(&circuit, &angles, 1e-12);
        agrees::<f32>(&circuit, &angles, 1e-5);
    }
}
