"""A network and data of your own, with everything that a run has."""

import numpy as np
from sklearn.datasets import load_wine
from torch import nn

import qnnw
from qnnw.training.export import export_run
from qnnw.training.runs import evaluate_run

wine = load_wine()
columns = ",".join([*wine.feature_names, "cultivar"])
rows = np.column_stack([wine.data, wine.target])
np.savetxt("wine.csv", rows, fmt=["%.6g"] * 13 + ["%d"], delimiter=",", header=columns, comments="")


def make_network(input_shape, num_outputs):
    """Called with what its signature takes."""
    return nn.Sequential(nn.Linear(*input_shape, 24), nn.ReLU(), nn.Linear(24, num_outputs))


# Or: qnnw train --network my_file.py:make_network --data wine.csv --label cultivar
result = qnnw.train(make_network, "wine.csv", label="cultivar", reps=4, epochs=40, out="runs")
print(f"wine: {result['test_accuracy']:.3f} with {result['num_trained']} numbers")
assert evaluate_run(result["run_dir"], network=make_network)["accuracy"] == result["test_accuracy"]
export_run(result["run_dir"], "safetensors", "wine.safetensors", network=make_network)

# Arrays, and a regression.
rng = np.random.default_rng(0)
features = rng.normal(size=(400, 3)).astype(np.float32)
targets = (features @ np.array([1.0, -2.0, 0.5]) + 0.1 * rng.normal(size=400)).astype(np.float32)
result = qnnw.train(data=(features, targets), task="regression", reps=6, epochs=40, out="runs")
print(f"regression: R2 {result['test_r2']:.3f}")
