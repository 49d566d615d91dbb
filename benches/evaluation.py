"""Evaluations of the MNIST network over the whole training set, beside plain torch.

    python -m pip install '.[train]'
    python benches/evaluation.py --data-dir DIR

One evaluation is what training does at each step: weights from angles, network, loss of eq. 10 over
60,000 images. "plain" is the same network with the whole training set as one batch, under
`inference_mode`, on all of torch's threads.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import numpy as np
import torch
from torch.nn import functional

import qnnw
from core import cpu_name
from qnnw.data import networks
from qnnw.data.registry import load
from qnnw.paper.presets import PRESETS
from qnnw.training.evaluation import Evaluator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default=os.environ.get("QNNW_DATA"))
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    data = load("mnist", seed=0, data_dir=options.data_dir)
    network = networks.mnist()
    reps = PRESETS["mnist"].reps
    ansatz, weight_map = qnnw.EfficientSU2(13, reps), qnnw.WeightMap(6690)
    threads = torch.get_num_threads()
    evaluator = Evaluator(network, data.train_inputs, data.train_labels, threads=threads)

    def weights() -> np.ndarray:
        return qnnw.generate_weights(ansatz, ansatz.random_angles(0), weight_map, 0.3)

    def ours() -> float:
        return evaluator(weights()).loss

    def plain() -> float:
        flat = torch.from_numpy(weights()).to(torch.float32)
        with torch.inference_mode():
            torch.nn.utils.vector_to_parameters(flat, network.parameters())
            logits = network(data.train_inputs)
            failed = (logits.argmax(1) != data.train_labels).double().mean()
            return float(functional.cross_entropy(logits, data.train_labels) + failed)

    assert abs(ours() - plain()) < 1e-5
    times: dict[str, list[float]] = {"qnnw": [], "plain": []}
    for _ in range(options.rounds):
        # Five in a row, as in training: the first comes after a batch that emptied the caches.
        for name, call, repeats in (("qnnw", ours, 5), ("plain", plain, 1)):
            start = time.perf_counter()
            for _ in range(repeats):
                call()
            times[name].append((time.perf_counter() - start) / repeats)
    ratio = statistics.median(p / q for p, q in zip(times["plain"], times["qnnw"], strict=True))
    print(f"{cpu_name()}, {threads} threads; torch {torch.__version__}, qnnw {qnnw.__version__}")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name}: {median:.3f} s = {1 / median:.2f} evaluations/s (median of {len(values)})")
    print(f"ratio: {ratio:.2f} (median over rounds)")


if __name__ == "__main__":
    main()
