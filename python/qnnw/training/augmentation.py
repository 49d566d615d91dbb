"""Images that are moved a little or mirrored, anew each epoch."""

from __future__ import annotations

import numpy as np

from qnnw._common.extras import needs
from qnnw._common.seeds import derived_seed

with needs("train", "qnnw.training.augmentation"):
    import torch

# Derived seeds from here on move the images of an epoch, and mirror them.
SHIFTS, MIRRORS = 1 << 44, 1 << 45


def check_images(pixels: int, mirror: bool, inputs: torch.Tensor) -> None:
    """Refuse to move or mirror what is no image, or is smaller than the move.

    Raises
    ------
    ValueError
        The message names ``shift`` or ``mirror``.
    """
    if not (pixels or mirror):
        return
    if inputs.dim() != 4:
        raise ValueError(
            f"{f'`shift` is {pixels}' if pixels else '`mirror` is true'}; it is for images, shape "
            "(samples, channels, height, width), and these inputs have shape "
            f"{tuple(inputs.shape)}"
        )
    if pixels >= min(inputs.shape[2:]):
        raise ValueError(
            f"`shift` is {pixels}; it must be less than the images, {tuple(inputs.shape[2:])}"
        )


def shifted(images: torch.Tensor, pixels: int, seed: int, epoch: int) -> torch.Tensor:
    """Every image moved by up to ``pixels`` along either axis; its edge is repeated.

    Parameters
    ----------
    images
        Shape (samples, channels, height, width).
    pixels
        Each of the (2 pixels + 1)^2 moves is as likely.
    seed, epoch
        Decide the moves, by the raw words of PCG64.

    Returns
    -------
    Tensor of the same shape, dtype, device and memory layout
    """
    side = 2 * pixels + 1
    words = np.random.PCG64(derived_seed(seed, SHIFTS + epoch)).random_raw(len(images))
    moves = torch.from_numpy((words % np.uint64(side * side)).astype(np.int64)).to(images.device)
    moved = torch.empty_like(images)
    for move in range(side * side):
        chosen = (moves == move).nonzero()[:, 0]
        down, right = divmod(move, side)
        part = _along(images[chosen], 2, down - pixels)
        moved[chosen] = _along(part, 3, right - pixels)
    return moved


def mirrored(images: torch.Tensor, seed: int, epoch: int) -> torch.Tensor:
    """Every image as it is or, as likely, left to right.

    Parameters
    ----------
    images
        Shape (samples, channels, height, width).
    seed, epoch
        Decide which, by the raw words of PCG64.

    Returns
    -------
    Tensor of the same shape, dtype, device and memory layout
    """
    words = np.random.PCG64(derived_seed(seed, MIRRORS + epoch)).random_raw(len(images))
    chosen = torch.from_numpy((words >> np.uint64(63)).astype(bool)).to(images.device)
    turned = images.clone()
    turned[chosen] = images[chosen].flip(3)
    return turned


def _along(images: torch.Tensor, axis: int, pixels: int) -> torch.Tensor:
    """Pixel i takes pixel i + ``pixels``, or the last one that there is."""
    if pixels == 0:
        return images
    kept = images.narrow(axis, max(pixels, 0), images.shape[axis] - abs(pixels))
    edge = images.narrow(axis, -1 if pixels > 0 else 0, 1)
    edges = edge.repeat_interleave(abs(pixels), axis)
    return torch.cat([kept, edges] if pixels > 0 else [edges, kept], axis)
