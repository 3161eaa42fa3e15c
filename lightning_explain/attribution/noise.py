"""Gaussian noise for the inputs that attributions are about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor

from lightning_explain.inputs import Inputs, Point, column, is_continuous, leaves, rebuild, varied
from lightning_explain.randomness import stream
from lightning_explain.registry import unknown

if TYPE_CHECKING:
    from lightning_explain.attribution.question import Question

Unit: TypeAlias = Literal["range", "absolute"]
Deviation: TypeAlias = float | tuple[float, ...]
Noise: TypeAlias = Callable[[int], Point]
"""Copy number -> one noise tensor for each input, of its shape."""

UNITS = ("range", "absolute")


def require_noise(stdev: Deviation, unit: Unit) -> None:
    """Check a standard deviation and its unit.

    Raises:
        ValueError: If one is negative, or there is no such unit.
    """
    for each in stdev if isinstance(stdev, tuple) else (stdev,):
        if each < 0:
            raise ValueError(f"stdev must not be negative, got {each}.")
    if unit not in UNITS:
        raise ValueError(unknown("unit of noise", unit, UNITS))


def gaussian(
    inputs: Inputs, stdev: Deviation, seed: int, unit: Unit = "range", about: Sequence[int] | None = None
) -> Noise:
    """Gaussian noise for inputs.

    The same for all samples, but for its unit; zero for integers, and for inputs that attributions are not about.

    Args:
        inputs: The samples.
        stdev: The standard deviation: a number, or one for each input that attributions are about.
        seed: Where the noise begins.
        unit: What ``stdev`` is measured in: ``"range"``, each sample's max - min in that input; or ``"absolute"``,
            the input's own unit.
        about: Which inputs attributions are about, by number; None: as in :func:`~lightning_explain.inputs.varied`.

    Returns:
        The noise, as a function of the copy number alone.

    Raises:
        ValueError: If there is not one standard deviation for each input.
    """
    chosen = list(varied(inputs) if about is None else about)
    each = stdev if isinstance(stdev, tuple) else (stdev,) * len(chosen)
    if len(each) != len(chosen):
        raise ValueError(f"Expected a standard deviation for each of {len(chosen)} input(s), got {len(each)}.")
    deviations = dict(zip(chosen, each, strict=True))

    def draw(copy: int) -> Point:
        generator = stream(f"noise tunnel {copy}", seed)
        return tuple(
            _normal(leaf, generator) * deviations[i] * _unit(leaf, unit)
            if i in deviations and is_continuous(leaf)
            else torch.zeros_like(leaf)
            for i, leaf in enumerate(leaves(inputs))
        )

    return draw


def gaussian_for(problem: Question, stdev: Deviation, seed: int, unit: Unit) -> Noise:
    """Gaussian noise for the inputs that attributions of a problem are about.

    Returns:
        As :func:`gaussian`.
    """
    return gaussian(problem.inputs, stdev, seed, unit, problem.varied)


def noisy(inputs: Inputs, noise: Noise, rows: Tensor, copies: Tensor) -> Inputs:
    """Samples with noise added; integers get none.

    Args:
        inputs: The samples.
        noise: The noise.
        rows: Which samples (m,).
        copies: With the noise of which copies (m,).

    Returns:
        Inputs of m samples.
    """
    first, last = int(copies.min()), int(copies.max())
    drawn = [torch.stack(tensors) for tensors in zip(*(noise(k) for k in range(first, last + 1)), strict=True)]
    taken = (leaf.index_select(0, rows) for leaf in leaves(inputs))
    return rebuild(
        inputs,
        tuple(
            leaf + drawn[i][copies - first, rows].to(leaf.dtype) if is_continuous(leaf) else leaf
            for i, leaf in enumerate(taken)
        ),
    )


def _normal(leaf: Tensor, generator: torch.Generator) -> Tensor:
    # Drawn on the CPU in float32: the same noise on every device and in every precision.
    return torch.randn(1, *leaf.shape[1:], generator=generator, dtype=torch.float32).to(leaf)


def _unit(leaf: Tensor, unit: Unit) -> Tensor:
    if unit == "absolute":
        return column(leaf.new_ones(len(leaf)), leaf)
    flat = leaf.reshape(leaf.shape[0], -1)
    return column(flat.amax(dim=1) - flat.amin(dim=1), leaf)
