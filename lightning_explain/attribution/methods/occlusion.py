"""Occlusion."""

from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution.features import channel_axis
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point, column

WINDOWS_PER_SIDE = 7

Sizes: TypeAlias = tuple[int, ...]


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
            together (see the place's ``channel_dim``); one more: channels too are windowed. None: a seventh
            of each side, rounded up.
        stride: The step, likewise; None: the window's size, so that every element is covered once.
            The last window is shifted back to end at the border.

    Raises:
        ValueError: If a number is less than 1, or the stride exceeds the window: elements would be
            left out.
    """

    shares_points = True

    window: int | tuple[int, ...] | None = None
    stride: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name, value in (("window", self.window), ("stride", self.stride)):
            sizes = value if isinstance(value, tuple) else (value,)
            if any(size is not None and size < 1 for size in sizes):
                raise ValueError(f"The {name} must be at least 1 in every dimension, got {value}.")

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        return tuple(self._occlude(problem, i) for i in range(len(problem.z)))

    def _occlude(self, problem: Problem, which: int) -> Tensor:
        z, z0 = problem.z[which], problem.z0[which]
        sides = tuple(z.shape[1:])
        window, stride = self._window(sides, problem.place.channel_dim)
        corners = list(product(*map(_starts, sides, window, stride)))
        starts = torch.tensor(corners, dtype=torch.long, device=z.device)

        def occluded(rows: Tensor, copies: Tensor) -> Point:
            point = [leaf[rows] for leaf in problem.z]
            point[which] = torch.where(_inside(starts[copies], window, sides), z0[rows], z[rows])
            return tuple(point)

        falls = problem.value[:, None] - problem.values(len(corners), occluded)
        total = torch.zeros(z.shape, dtype=falls.dtype, device=z.device)
        cover = torch.zeros(sides, dtype=falls.dtype, device=z.device)
        for number, corner in enumerate(corners):
            region = tuple(slice(start, start + size) for start, size in zip(corner, window, strict=True))
            total[(slice(None), *region)] += column(falls[:, number], z)
            cover[region] += 1
        return total / cover

    def _window(self, sides: Sizes, channel_dim: int | None) -> tuple[Sizes, Sizes]:
        # In all dimensions of a sample, channels too.
        channels = channel_axis(sides, channel_dim)
        if isinstance(self.window, tuple) and len(self.window) == len(sides):
            channels = None
        positions = sides if channels is None else sides[:channels] + sides[channels + 1 :]
        window = _sizes(self.window, positions, tuple(ceil(side / WINDOWS_PER_SIDE) for side in positions), "window")
        stride = _sizes(self.stride, positions, window, "stride")
        if any(step > size for step, size in zip(stride, window, strict=True)):
            raise ValueError(f"The stride {stride} exceeds the window {window}: elements would be left out.")
        if channels is not None:
            window, stride = ((*sizes[:channels], sides[channels], *sizes[channels:]) for sizes in (window, stride))
        return tuple(map(min, window, sides)), stride


def _sizes(given: int | Sizes | None, sides: Sizes, default: Sizes, what: str) -> Sizes:
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


def _inside(starts: Tensor, window: Sizes, sides: Sizes) -> Tensor:
    # (m, sides...) from (m, number of sides)
    inside = torch.ones(len(starts), *[1] * len(sides), dtype=torch.bool, device=starts.device)
    for dim, (size, side) in enumerate(zip(window, sides, strict=True)):
        offset = torch.arange(side, device=starts.device) - starts[:, dim, None]
        along = (offset >= 0) & (offset < size)
        inside = inside & along.view(-1, *(side if d == dim else 1 for d in range(len(sides))))
    return inside
