"""What readout errors and depolarising gates do to a trained network, and training against them."""

import qnnw
from qnnw.training.runs import evaluate_run

NOISE = "depolarizing=1e-4:1e-2,readout=0.02"

settings = {"data": "digits", "reps": 4, "epochs": 15, "batch_size": 64}
exact = qnnw.train(**settings)["run_dir"]
against = qnnw.train(**settings, noise=NOISE, trajectories=2)["run_dir"]
for name, run in {"exact": exact, "against noise": against}.items():
    noisy = evaluate_run(run, noise=NOISE, trajectories=200)["accuracy"]
    clean = evaluate_run(run, noise="depolarizing=0")["accuracy"]
    print(f"trained {name}: {clean:.3f} without noise, {noisy:.3f} with it")
