"""Occlusion."""

from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution.feature_space import channel_axis
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point, column

WINDOWS_PER_SIDE = 7

Sizes: TypeAlias = tuple[int, ...]
Given: TypeAlias = int | Sizes | None


@METHODS.register("occlusion")
@dataclass(frozen=True)
class Occlusion(Method):
    r"""How much the score falls when a window is replaced by the baseline.

    A window slides over the positions; an element's attribution is the mean over the windows that
    cover it, :math:`\phi_i = \mathrm{mean}_{w \ni i} \, S(z) - S(z \text{ with } w := z^0)`.
    Several inputs are occluded one after the other. A row for each window, and one for the score.

    M. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks. arXiv:1311.2901, 2013.

    Args:
        window: The window's size, the same in every dimension or one number for each. As many numbers
            as z has positions (dimensions behind batch and channels): all channels are occluded
            together (see the place's ``channel_dim``); one more: channels too are windowed. None: a seventh
            of each side, rounded up. A tuple of such windows: one for each tensor.
        stride: The step, likewise; None: the window's size, so that every element is covered once.
        overhang: Whether the last window keeps to the stride, and only the part of it that is inside counts;
            otherwise it is shifted back to end at the border, as large as the others.

    Raises:
        ValueError: If a number is less than 1, or the stride exceeds the window: elements would be
            left out.
    """

    shares_points = True

    window: Given | tuple[Given, ...] = None
    stride: Given | tuple[Given, ...] = None
    overhang: bool = False

    def __post_init__(self) -> None:
        for name, value in (("window", self.window), ("stride", self.stride)):
            if any(size is not None and size < 1 for size in _flat(value)):
                raise ValueError(f"The {name} must be at least 1 in every dimension, got {value}.")

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        count = len(problem.z)
        each = zip(_one_each(self.window, count, "windows"), _one_each(self.stride, count, "strides"), strict=True)
        return tuple(self._occlude(problem, i, *given) for i, given in enumerate(each))

    def _occlude(self, problem: Problem, which: int, window: Given, stride: Given) -> Tensor:
        z, z0 = problem.z[which], problem.z0[which]
        sides = tuple(z.shape[1:])
        window, stride = _window(sides, problem.place.channel_dim, window, stride)
        corners = list(product(*(self._starts(*along) for along in zip(sides, window, stride, strict=True))))
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

    def _starts(self, side: int, size: int, step: int) -> list[int]:
        last = side - size
        starts = list(range(0, last + 1, step))
        if starts[-1] == last:
            return starts
        return [*starts, starts[-1] + step if self.overhang else last]


def _window(sides: Sizes, channel_dim: int | None, window: Given, stride: Given) -> tuple[Sizes, Sizes]:
    # In all dimensions of a sample, channels too.
    channels = channel_axis(sides, channel_dim)
    if isinstance(window, tuple) and len(window) == len(sides):
        channels = None
    positions = sides if channels is None else sides[:channels] + sides[channels + 1 :]
    sizes = _sizes(window, positions, tuple(ceil(side / WINDOWS_PER_SIDE) for side in positions), "window")
    steps = _sizes(stride, positions, sizes, "stride")
    if any(step > size < side for step, size, side in zip(steps, sizes, positions, strict=True)):
        raise ValueError(f"The stride {steps} exceeds the window {sizes}: elements would be left out.")
    if channels is not None:
        sizes, steps = ((*each[:channels], sides[channels], *each[channels:]) for each in (sizes, steps))
    return tuple(map(min, sizes, sides)), steps


def _one_each(given: Given | tuple[Given, ...], count: int, what: str) -> tuple[Given, ...]:
    if not isinstance(given, tuple) or all(isinstance(size, int) for size in given):
        return (given,) * count  # type: ignore[return-value]
    if len(given) != count:
        raise ValueError(f"Expected {what} for {count} tensor(s), got {len(given)}.")
    return given


def _flat(given: Given | tuple[Given, ...]) -> tuple[int | None, ...]:
    if not isinstance(given, tuple):
        return (given,)
    return tuple(size for part in given for size in _flat(part))


def _sizes(given: Given, sides: Sizes, default: Sizes, what: str) -> Sizes:
    if given is None:
        return default
    sizes = given if isinstance(given, tuple) else (given,) * len(sides)
    if len(sizes) != len(sides):
        raise ValueError(f"The {what} {given} has {len(sizes)} number(s); expected {len(sides)}, for sides {sides}.")
    return sizes


def _inside(starts: Tensor, window: Sizes, sides: Sizes) -> Tensor:
    # (m, sides...) from (m, number of sides); 1 where the window spans a side whole
    inside = torch.ones(len(starts), *[1] * len(sides), dtype=torch.bool, device=starts.device)
    for dim, (size, side) in enumerate(zip(window, sides, strict=True)):
        if size == side:
            continue
        offset = torch.arange(side, device=starts.device) - starts[:, dim, None]
        along = (offset >= 0) & (offset < size)
        inside = inside & along.view(-1, *(side if d == dim else 1 for d in range(len(sides))))
    return inside
