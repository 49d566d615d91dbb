"""Data sets and networks as users have them in files."""

from __future__ import annotations

import numpy as np
from PIL import Image
from sklearn.datasets import load_diabetes, load_digits, load_wine

NETWORKS = '''
import torch
from torch import nn


class Normed(nn.Module):
    """Statistics, dropout, tied and frozen weights, and a forward of its own."""

    def __init__(self, num_features, num_outputs):
        super().__init__()
        self.fc1 = nn.Linear(num_features, 12)
        self.norm = nn.BatchNorm1d(12)
        self.fc2 = nn.Linear(12, 12)
        self.fc3 = nn.Linear(12, 12)
        self.fc3.weight = self.fc2.weight
        self.drop = nn.Dropout(0.1)
        self.out = nn.Linear(12, num_outputs)
        self.out.bias.requires_grad_(False)

    def forward(self, inputs):
        hidden = torch.relu(self.norm(self.fc1(inputs.flatten(1))))
        self.last = hidden
        hidden = self.drop(torch.relu(self.fc3(torch.relu(self.fc2(hidden)))))
        return self.out(hidden)


def normed(input_shape, num_outputs):
    return Normed(torch.Size(input_shape).numel(), num_outputs)


class Counting(nn.Sequential):
    def forward(self, inputs):
        return super().forward(inputs.reshape(len(inputs), -1))


def counting(input_shape, num_outputs):
    return Counting(nn.Linear(torch.Size(input_shape).numel(), num_outputs))


def plain():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.Tanh(), nn.Linear(8, 3))


def of_data(dataset):
    return nn.Sequential(nn.Linear(dataset.train_inputs.shape[1], dataset.num_outputs))


def wrong():
    return 3


def data():
    return torch.eye(8).repeat(4, 1), torch.arange(8).repeat(4) % 2
'''


def write_csv(path, names, columns):
    lines = [",".join(names), *(",".join(map(str, row)) for row in zip(*columns, strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def wine_csv(folder, words=True):
    wine = load_wine()
    labels = wine.target_names[wine.target] if words else wine.target
    return write_csv(folder / "wine.csv", [*wine.feature_names, "kind"], [*wine.data.T, labels])


def diabetes_csv(folder):
    data = load_diabetes()
    names = [*data.feature_names, "progression"]
    return write_csv(folder / "diabetes.csv", names, [*data.data.T, data.target])


def digits_npz(folder, samples=600):
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).astype(np.uint8)
    path = folder / "digits.npz"
    np.savez(
        path, x_train=images[:samples], y_train=labels[:samples],
        x_test=images[samples : samples + 200], y_test=labels[samples : samples + 200],
    )  # fmt: skip
    return str(path)


def image_folder(folder, samples=120, split=False):
    images, labels = load_digits(return_X_y=True)
    for number in range(samples):
        place = folder / "images"
        if split:
            place /= "test" if number % 4 == 0 else "train"
        place /= f"digit{labels[number] % 3}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = (images[number].reshape(8, 8) * 15).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{number:04d}.png")
    return str(folder / "images")


def networks_py(folder):
    path = folder / "my_networks.py"
    path.write_text(NETWORKS)
    return str(path)
