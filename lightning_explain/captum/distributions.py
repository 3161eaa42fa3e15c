"""What is drawn at random: baselines from a distribution, and noise."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lightning_explain.captum.arguments import Tensors, as_inputs
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError
from lightning_explain.inputs import Point

Distribution: TypeAlias = Tensor | tuple[Tensor | int | float, ...] | Callable[..., Any]


def as_distribution(baselines: Distribution, inputs: Tensors, least: int = 1) -> Point:
    """A distribution of baselines, the same number for each input.

    Args:
        baselines: Tensors (K, ...), one for each input (a number beside a tensor stands for K times that number), or a
            function of the inputs, or of nothing, that gives them.
        inputs: The inputs (n, ...).
        least: The least number of baselines that makes a distribution.

    Returns:
        Tensors (K, ...), detached.

    Raises:
        ArgumentTypeError: If there is no tensor.
        ArgumentError: If one does not fit its input, or there are too few.
    """
    found: Any = baselines
    if callable(baselines):
        found = baselines(inputs) if signature(baselines).parameters else baselines()
    point, given = as_inputs(inputs), found if isinstance(found, tuple) else (found,)
    if len(given) != len(point):
        raise ArgumentError(f"Expected baselines for each of {len(point)} input(s), got {len(given)}.")
    sizes = {len(base) for base in given if isinstance(base, Tensor) and base.ndim}
    if len(sizes) != 1:
        raise (ArgumentError if sizes else ArgumentTypeError)(
            "A distribution of baselines is a tensor (K, ...) for each input, with the same K for all; got"
            f" {', '.join(map(_shape, given))}."
        )
    (size,) = sizes
    if size < least:
        raise ArgumentError(f"Expected at least {least} baselines for each input, got {size}; DeepLift takes one.")
    return tuple(
        _spread(number, base, leaf, size) for number, (base, leaf) in enumerate(zip(given, point, strict=True))
    )


def as_deviation(stdevs: object, inputs: Tensors) -> float | tuple[float, ...]:
    """The standard deviation of noise, in the inputs' own units.

    Args:
        stdevs: A number, or one for each input.
        inputs: The inputs.

    Returns:
        A number, or a tuple of them.

    Raises:
        ArgumentTypeError: If something else than a number is given.
        ArgumentError: If there is not one for each input, or one is negative.
    """
    given = stdevs if isinstance(stdevs, tuple) else (stdevs,)
    for held in given:
        if isinstance(held, bool) or not isinstance(held, (int, float)):
            raise ArgumentTypeError(f"stdevs is a number, or a tuple of one for each input; got {type(held).__name__}.")
        if held < 0:
            raise ArgumentError(f"stdevs must not be negative, got {held}.")
    if not isinstance(stdevs, tuple):
        return float(given[0])
    if len(given) != len(as_inputs(inputs)):
        raise ArgumentError(f"Expected one of stdevs for each of {len(as_inputs(inputs))} input(s), got {len(given)}.")
    return given


def _spread(number: int, base: Tensor | int | float, leaf: Tensor, size: int) -> Tensor:
    spread = torch.as_tensor(base, device=leaf.device).detach()
    if spread.ndim == 0:
        return spread.to(leaf.dtype).expand(size, *leaf.shape[1:])
    if spread.shape[1:] != leaf.shape[1:]:
        raise ArgumentError(
            f"The baselines of input {number} have shape {tuple(spread.shape)}; expected (K, "
            f"{', '.join(map(str, leaf.shape[1:]))})."
        )
    return spread


def _shape(given: object) -> str:
    return f"shape {tuple(given.shape)}" if isinstance(given, Tensor) else type(given).__name__
