"""What an attack is: a walk uphill on the loss, with the inputs as what moves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from lightning_explain.attribution.derivative import accumulator
from lightning_explain.attribution.settings import require_number
from lightning_explain.inputs import Point
from lightning_explain.robust.norms import Norm

Slope: TypeAlias = Callable[[Point], Point]
"""Inputs (n, ...) each -> the gradient of every sample's loss with respect to them."""


@runtime_checkable
class Attack(Protocol):
    """Changes inputs so that a loss grows, or falls where the attack is ``targeted``."""

    @property
    def targeted(self) -> bool:
        """Whether the loss is that of what the model is to be misled to, and falls."""

    def __call__(self, slope: Slope, x: Point, free: Point) -> Point:
        """Perturb inputs.

        Args:
            slope: The gradient of the loss.
            x: Inputs (n, ...) each.
            free: 1 for elements that may change, 0 for those that may not; like ``x``.
        """


@dataclass(frozen=True)
class Bounds:
    """What values an input can have, as a picture's pixels are in [0, 1].

    Args:
        lower: The least; a number, or a tensor that broadcasts to the inputs.
        upper: The largest.

    Raises:
        ValueError: If the least is larger.

    Example:
        >>> Bounds(0, 1)(torch.tensor([-0.5, 0.5, 1.5]))
        tensor([0.0000, 0.5000, 1.0000])
    """

    lower: float | Tensor = -math.inf
    upper: float | Tensor = math.inf

    def __post_init__(self) -> None:
        if bool(torch.as_tensor(self.lower > self.upper).any()):
            shown = " and ".join(map(_shown, (self.lower, self.upper)))
            raise ValueError(f"The lower bound must not be above the upper one, got {shown}.")

    def __call__(self, tensor: Tensor) -> Tensor:  # noqa: D102
        return tensor.clamp(min=self.lower).clamp(max=self.upper)


def ahead(slope: Slope, z: Point, size: float | Tensor, norm: Norm, free: Point) -> Point:
    """Take one step of a norm's steepest ascent: ``z + size * ascent(gradient)``.

    Args:
        slope: The gradient of the loss.
        z: Where the step begins, (n, ...) each.
        size: How long it is, in that norm; negative: downhill.
        norm: The norm.
        free: 1 for elements that may change, 0 for those that may not.

    Returns:
        Tensors like ``z``.
    """
    steps = zip(z, slope(z), free, strict=True)
    return tuple(leaf + size * norm.ascent(gradient * held) for leaf, gradient, held in steps)


def carried_out(attack: Attack, slope: Slope, x: Point, free: Point) -> Point:
    """Attack, in float32 at least: steps that bfloat16 cannot tell apart still add up.

    Args:
        attack: The attack.
        slope: The gradient of the loss; it is asked at inputs of the type of ``x``.
        x: Inputs (n, ...) each.
        free: 1 for elements that may change, 0 for those that may not.

    Returns:
        Perturbed inputs, detached, of the shapes and types of ``x``.

    Raises:
        ValueError: If the attack changes a shape.
    """
    kinds = [leaf.dtype for leaf in x]
    with torch.no_grad():
        wide = tuple(leaf.detach().to(accumulator(leaf)) for leaf in x)
        held = tuple(mask.to(leaf) for mask, leaf in zip(free, wide, strict=True))
        moved = attack(lambda z: slope(_as(z, kinds)), wide, held)
        shapes = [[tuple(leaf.shape) for leaf in point] for point in (x, moved)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"An attack must keep the shapes of its inputs, {shapes[0]}, got {shapes[1]}: its sizes and bounds are"
                " numbers, or tensors that broadcast to a sample."
            )
        return tuple(leaf.clone() if leaf is start else leaf for leaf, start in zip(_as(moved, kinds), x, strict=True))


def require_size(what: str, given: object) -> None:
    """Refuse what is no size of a step or a ball: a number that is not negative, or a tensor of such numbers.

    Args:
        what: What it is, as the message begins.
        given: What the user gave.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is negative or NaN.
    """
    if not isinstance(given, Tensor):
        require_number(what, given)
    if not bool((torch.as_tensor(given) >= 0).all()):
        raise ValueError(
            f"{what} must be numbers from 0 up, got {_shown(given)}; an attack turns round with targeted=True."
        )


def _shown(given: object) -> str:
    return f"a tensor {tuple(given.shape)}" if isinstance(given, Tensor) and given.numel() > 1 else str(given)


def _as(point: Point, kinds: list[torch.dtype]) -> Point:
    return tuple(leaf.to(kind) for leaf, kind in zip(point, kinds, strict=True))
