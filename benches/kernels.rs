//! Time per call of the core, without Python: `cargo bench`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use qnnw::evolve;
use qnnw::generate::generate_weights;
use qnnw::parallel::{Cancel, set_num_threads};
use qnnw::sampling::sample_counts;
use qnnw::weights::{Mapping, Signs};
use qnnw::{EfficientSu2, Entanglement, WeightMap};

fn evolution(criterion: &mut Criterion) {
    set_num_threads(1).unwrap();
    let cancel = Cancel::default();
    let mut group = criterion.benchmark_group("probabilities, reps 26");
    for qubits in [8, 10, 13, 16] {
        let ansatz = EfficientSu2::new(qubits, 26, Entanglement::Linear).unwrap();
        let angles = ansatz.random_angles(0);
        let mut out = vec![0.0; ansatz.dimension()];
        group.bench_function(BenchmarkId::from_parameter(qubits), |bencher| {
            bencher.iter(|| {
                evolve::probabilities(&ansatz, black_box(&angles), &mut out, &cancel).unwrap();
            });
        });
    }
}

fn weights(criterion: &mut Criterion) {
    let cancel = Cancel::default();
    let map = WeightMap::new(6690, 0, Signs::Parity, Mapping::Paper, &cancel).unwrap();
    let ansatz = EfficientSu2::new(13, 26, Entanglement::Linear).unwrap();
    let angles = ansatz.random_angles(0);
    let mut probabilities = vec![0.0; ansatz.dimension()];
    evolve::probabilities(&ansatz, &angles, &mut probabilities, &cancel).unwrap();
    let mut out = vec![0.0; 6690];
    criterion.bench_function("weight map, 6690 weights", |bencher| {
        bencher.iter(|| map.apply(black_box(&probabilities), 0.3, &mut out, &cancel).unwrap());
    });
    criterion.bench_function("generate_weights, 6690 weights", |bencher| {
        bencher.iter(|| {
            generate_weights(&ansatz, black_box(&angles), &map, &[0.3], None, &mut out, &cancel)
                .unwrap();
        });
    });
    let mut group = criterion.benchmark_group("sample_counts, 8192 bins");
    let mut counts = vec![0; ansatz.dimension()];
    for per_bin in [1u64, 13, 1000] {
        group.bench_function(BenchmarkId::new("shots per bin", per_bin), |bencher| {
            bencher.iter(|| {
                let shots = 8192 * per_bin;
                sample_counts(black_box(&probabilities), shots, 0, 0, &mut counts, &cancel)
                    .unwrap();
            });
        });
    }
}

criterion_group!(benches, evolution, weights);
criterion_main!(benches);
