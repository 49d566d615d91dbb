"""What helps a run to learn: moved images, smoothed labels, a learning rate of gamma's own."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qnnw.training.augmentation import check_images, mirrored, shifted
from qnnw.training.config import TrainConfig
from qnnw.training.losses import step_loss
from qnnw.training.optimizers import EigenAdam
from qnnw.training.presets import COUNT, preset
from qnnw.training.runs import make_trainer, start
from running import check_that_stops_change_nothing, same_but_for_time

SHORT = preset("iris").changed(epochs=4, batch_size=16)


@given(
    st.integers(1, 20), st.integers(1, 3), st.integers(2, 9), st.integers(2, 9), st.integers(1, 3),
    st.integers(0, 2**64 - 1), st.booleans(),
)  # fmt: skip
def test_every_image_is_moved_by_one_of_the_moves(
    samples, channels, height, width, pixels, seed, last
):
    pixels = min(pixels, height - 1, width - 1)
    images = torch.randn(samples, channels, height, width)
    if last:
        images = images.contiguous(memory_format=torch.channels_last)
    moved = shifted(images, pixels, seed, 1)
    assert moved.stride() == images.stride()
    rows, columns = np.arange(height), np.arange(width)
    for image, found in zip(images.numpy(), moved.numpy(), strict=True):
        moves = range(-pixels, pixels + 1)
        wanted = (
            image[:, np.clip(rows + down, 0, height - 1)][
                :, :, np.clip(columns + right, 0, width - 1)
            ]
            for down in moves
            for right in moves
        )
        assert any(np.array_equal(found, one) for one in wanted)


def test_all_moves_are_drawn_and_their_seed_keeps_its_meaning():
    images = torch.zeros(2000, 1, 5, 5)
    images[:, 0, 2, 2] = 1
    moved = shifted(images, 2, 7, 3)
    places = moved.flatten(1).argmax(1).bincount(minlength=25)
    assert places.min() > 40
    assert places.max() < 125
    assert places.tolist()[:6] == [83, 77, 79, 91, 83, 95]
    assert not torch.equal(moved, shifted(images, 2, 7, 4))
    assert torch.equal(moved, shifted(images, 2, 7, 3))


@pytest.mark.parametrize("last", [False, True])
def test_half_of_the_images_are_mirrored_and_the_seed_keeps_its_meaning(last):
    images = torch.randn(2000, 2, 3, 5)
    if last:
        images = images.contiguous(memory_format=torch.channels_last)
    turned = mirrored(images, 7, 3)
    assert turned.stride() == images.stride()
    chosen = (turned != images).flatten(1).any(1)
    assert torch.equal(turned[chosen], images[chosen].flip(3))
    assert chosen.nonzero()[:8, 0].tolist() == [0, 1, 3, 4, 5, 6, 7, 8]
    assert 900 < chosen.sum() < 1100
    assert torch.equal(turned, mirrored(images, 7, 3))
    assert not torch.equal(turned, mirrored(images, 7, 4))


@pytest.mark.parametrize("pixels", [5, 9])
def test_what_cannot_be_moved_is_refused(pixels):
    with pytest.raises(ValueError, match=rf"`shift` is {pixels}; it must be less than the images"):
        check_images(pixels, False, torch.zeros(3, 1, 5, 28))
    with pytest.raises(ValueError, match=rf"`shift` is {pixels}; it is for images.*\(3, 4\)"):
        check_images(pixels, False, torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"`mirror` is true; it is for images.*\(3, 4\)"):
        check_images(0, True, torch.zeros(3, 4))
    check_images(0, False, torch.zeros(3, 4))
    with pytest.raises(ValueError, match="`shift` is 1; it is for images"):
        start(SHORT.changed(shift=1), "unused")


def test_smoothed_labels_are_the_equations():
    logits = torch.randn(6, 4, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    share = 0.3
    wanted = torch.full((6, 4), share / 4, dtype=torch.float64)
    wanted[torch.arange(6), labels] += 1 - share
    loss = step_loss("cross-entropy", share)(logits, labels)
    assert float(loss) == pytest.approx(float(-(wanted * logits.log_softmax(1)).sum()), rel=1e-12)
    plain = step_loss("cross-entropy")(logits, labels)
    assert float(plain) == pytest.approx(
        float(-logits.log_softmax(1)[torch.arange(6), labels].sum()), rel=1e-12
    )


@pytest.mark.parametrize("loss", ["binary", "mse"])
def test_other_losses_take_no_smoothing(loss):
    with pytest.raises(ValueError, match=f"`label_smoothing` is 0.1; the loss '{loss}' takes none"):
        step_loss(loss, 0.1)


def test_gamma_goes_at_its_own_rate(tmp_path):
    still = start(SHORT.changed(gamma_lr=1e-12), tmp_path)
    assert still["gamma"] == pytest.approx(SHORT.gamma, abs=1e-9)
    free = start(SHORT, tmp_path)
    assert abs(free["gamma"] - SHORT.gamma) > 1e-3
    same = start(SHORT.changed(gamma_lr=0.05), tmp_path)  # the others' own
    assert same["gamma"] == pytest.approx(free["gamma"], rel=1e-9)


def test_every_gamma_goes_at_that_rate(tmp_path):
    result = start(SHORT.changed(gamma_lr=1e-12, gammas="per_tensor"), tmp_path)
    gammas = [value for name, value in result.items() if name.startswith("gamma.")]
    assert gammas == pytest.approx([SHORT.gamma] * 4, abs=1e-9)


def test_a_run_with_all_of_them_stops_and_goes_on(tmp_path):
    config = preset(
        "digits", trained=20, reps=1, epochs=3, train_samples=200, validation_samples=50,
        label_smoothing=0.1, shift=2, mirror=True,
    )  # fmt: skip
    check_that_stops_change_nothing(config, tmp_path, [1, 1])
    results = [start(config.changed(threads=threads), tmp_path) for threads in (1, 2, 3)]
    assert same_but_for_time(results[0], results[1])
    assert same_but_for_time(results[0], results[2])
    for without in ({"shift": 0}, {"mirror": False}):
        assert start(config.changed(**without), tmp_path)["loss"] != results[0]["loss"]


def test_older_records_had_none_of_them():
    stored = json.loads(json.dumps(SHORT.to_dict()))
    for name in ("gamma_lr", "label_smoothing", "shift", "mirror"):
        del stored[name]
    assert TrainConfig.from_dict(stored) == SHORT


def test_a_run_says_what_helps_it(mnist_dir):
    config = preset(
        "mnist", train_samples=100, label_smoothing=0.1, shift=2, data_dir=str(mnist_dir)
    )
    told = make_trainer(config).describe()
    assert "gamma's learning rate 0.04, labels smoothed by 0.1, images moved by up to 2 px" in told


def test_presets_go_by_the_count():
    assert preset("mnist").trained == preset("fashion-mnist").trained == COUNT
    for count in (1, 52, 130, 364, 702, 1000):
        config = preset("mnist", trained=count)
        angles = 13 * 2 * (config.reps + 1) - 13  # the last RZ changes nothing
        assert config.trained == count <= angles
        assert (config.mapping, config.gammas) == (
            "hadamard",
            "one" if count < 100 else "per_tensor",
        )
    assert preset("mnist", trained=130, mapping="sqrt", epochs=3).mapping == "sqrt"
    assert preset("mnist").optimizer.shift == 1
    assert preset("fashion-mnist").optimizer.shift == 0
    # A circuit that is named trains whole, as in the paper.
    for whole in (preset("mnist", reps=13), preset("mnist", trained=None, reps=13)):
        assert (whole.trained, whole.mapping) == (None, "centered")
    for other in (
        preset("mnist", "cobyla"), preset("mnist", source="direct"), preset("iris"),
        preset("mnist", source="haar"), preset("mnist", network="mine.py:make"),
    ):  # fmt: skip
        assert other.trained is None
    given = preset("mnist", EigenAdam(epochs=3, lr=0.5))
    assert given.optimizer == EigenAdam(epochs=3, lr=0.5)
    assert given.trained == COUNT
