"""Occlusion."""

from dataclasses import dataclass
from itertools import product
from math import ceil

import torch
from torch import Tensor

from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point, column

WINDOWS_PER_SIDE = 7

Region = tuple[slice, ...]


@METHODS.register("occlusion")
@dataclass(frozen=True)
class Occlusion(Method):
    r"""How much the score falls when a window is replaced by the baseline.

    A window slides over the positions; an element's attribution is the mean over the windows that
    cover it, :math:`\phi_i = \mathrm{mean}_{w \ni i} \, S(z) - S(z \text{ with } w := z^0)`.
    Several inputs are occluded one after the other.

    M. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks. arXiv:1311.2901, 2013.

    Args:
        window: The window's size, the same in every dimension or one number for each. As many numbers
            as z has positions (dimensions behind batch and channels): all channels are occluded
            together; one more: channels too are windowed. None: a seventh of each side, rounded up.
        stride: The step, likewise; None: the window's size, so that every element is covered once.
            The last window is shifted back to end at the border.

    Raises:
        ValueError: If a number is less than 1, or the stride exceeds the window: elements would be
            left out.
    """

    window: int | tuple[int, ...] | None = None
    stride: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name, value in (("window", self.window), ("stride", self.stride)):
            sizes = value if isinstance(value, tuple) else (value,)
            if any(size is not None and size < 1 for size in sizes):
                raise ValueError(f"The {name} must be at least 1 in every dimension, got {value}.")

    def __call__(self, problem: Problem) -> Point:
        return tuple(self._occlude(problem, i) for i in range(len(problem.z)))

    def _occlude(self, problem: Problem, which: int) -> Tensor:
        z, z0 = problem.z[which], problem.z0[which]
        windows = self._windows(tuple(z.shape[1:]))
        masks = torch.zeros(len(windows), *z.shape[1:], dtype=torch.bool, device=z.device)
        for mask, region in zip(masks, windows, strict=True):
            mask[region] = True

        def occluded(rows: Tensor, copies: Tensor) -> Point:
            point = [leaf[rows] for leaf in problem.z]
            point[which] = torch.where(masks[copies], z0[rows], z[rows])
            return tuple(point)

        falls = problem.value[:, None] - problem.values(len(windows), occluded)
        total = torch.zeros(z.shape, dtype=falls.dtype, device=z.device)
        cover = torch.zeros(z.shape[1:], dtype=falls.dtype, device=z.device)
        for number, region in enumerate(windows):
            total[(slice(None), *region)] += column(falls[:, number], z)
            cover[region] += 1
        return total / cover

    def _windows(self, shape: tuple[int, ...]) -> list[Region]:
        joint = 1 if len(shape) > 1 and not self._covers_channels(shape) else 0
        sides = shape[joint:]
        window = _sizes(self.window, sides, tuple(ceil(side / WINDOWS_PER_SIDE) for side in sides), "window")
        window = tuple(min(size, side) for size, side in zip(window, sides, strict=True))
        stride = _sizes(self.stride, sides, window, "stride")
        if any(step > size for step, size in zip(stride, window, strict=True)):
            raise ValueError(f"The stride {stride} exceeds the window {window}: elements would be left out.")
        starts = (_starts(side, size, step) for side, size, step in zip(sides, window, stride, strict=True))
        whole = (slice(None),) * joint
        return [
            (*whole, *(slice(a, a + size) for a, size in zip(corner, window, strict=True)))
            for corner in product(*starts)
        ]

    def _covers_channels(self, shape: tuple[int, ...]) -> bool:
        return isinstance(self.window, tuple) and len(self.window) == len(shape)


def _sizes(
    given: int | tuple[int, ...] | None, sides: tuple[int, ...], default: tuple[int, ...], what: str
) -> tuple[int, ...]:
    if given is None:
        return default
    sizes = given if isinstance(given, tuple) else (given,) * len(sides)
    if len(sizes) != len(sides):
        raise ValueError(f"The {what} {given} has {len(sizes)} number(s); expected {len(sides)}, for sides {sides}.")
    return sizes


def _starts(side: int, size: int, step: int) -> list[int]:
    last = side - size
    starts = list(range(0, last + 1, step))
    return starts if starts[-1] == last else [*starts, last]
