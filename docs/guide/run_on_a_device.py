"""Train and measure a network's circuit on a fake backend: Aer with a real device's noise."""

import numpy as np
from qiskit.primitives import StatevectorSampler

import qnnw
from qnnw.weights.circuit import CircuitSource

# Any SamplerV2, or a function of a seed to one, behind a source of weights.
ansatz, weight_map = qnnw.EfficientSU2(4, reps=1), qnnw.WeightMap(13, mapping="centered")
measured = qnnw.devices.Sampler(lambda seed: StatevectorSampler(seed=seed), shots=4096)
source = CircuitSource(ansatz, weight_map, execution=measured)
numbers = {name: group.start for name, group in source.groups.items()}
weights, pullback = source.forward(numbers, draw=0)
gradient = pullback(np.ones(13))["angles"]
job = measured.journal.lines()[-1]
print(f"{len(gradient)} angles, {job['circuits']} circuits in {len(job['jobs'])} job")

# A whole run: the same settings as `qnnw train iris --backend fake_montreal …`.
result = qnnw.train(
    data="iris", reps=2, batch_size=100, epochs=3, lr=0.2, gamma_lr=0.05,
    backend="fake_montreal", shots=1024, gradient="random_half", fraction=0.1,
)  # fmt: skip
print(
    f"{result['backend']}: {result['jobs']} jobs, depth {result['depth']}, {result['calibrated']}"
)
