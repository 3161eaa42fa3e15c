"""How many perturbed copies of each sample are made at a time, and what came of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from torch import Tensor

from lightning_explain.captum.arguments import Baselines
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError
from lightning_explain.captum.lending import as_point
from lightning_explain.inputs import Point


def copies_at_a_time(samples: int, copies: int, most_rows: int | None) -> Iterator[int]:
    """Split the copies of all samples into parts.

    Args:
        samples: The number of samples, each of which is in every part.
        copies: The number of copies of each.
        most_rows: How many rows a part may have; None: all copies make one part.

    Yields:
        How many copies of each sample a part has.

    Raises:
        ArgumentError: If there are no samples, or no copies.

    Example:
        >>> list(copies_at_a_time(4, 5, 8)), list(copies_at_a_time(4, 5, None))
        ([2, 2, 1], [5])
    """
    if samples < 1 or copies < 1:
        raise ArgumentError(f"Expected at least one sample and n_perturb_samples >= 1, got {samples} and {copies}.")
    fitting = copies if most_rows is None else most_rows // samples
    if not 1 <= fitting <= copies:
        warnings.warn(
            f"max_examples_per_batch should be from {samples}, one copy of each sample, to {samples * copies}, all of"
            f" them; got {most_rows}.",
            stacklevel=4,
        )
    step = min(max(fitting, 1), copies)
    for start in range(0, copies, step):
        yield min(step, copies - start)


def given_baselines(baselines: Baselines, count: int) -> tuple[Tensor | float, ...]:
    """Baselines as they were given, one for each input: perturbation functions are passed numbers as numbers.

    Args:
        baselines: Tensors or numbers; None: zeros.
        count: The number of inputs.

    Returns:
        A tuple.

    Raises:
        ArgumentError: If there are not as many as inputs.
        ArgumentTypeError: If one is neither.
    """
    if baselines is None:
        return (0,) * count
    found = baselines if isinstance(baselines, tuple) else (baselines,)
    if len(found) != count:
        raise ArgumentError(f"Expected a baseline for each of {count} inputs, got {len(found)}.")
    for baseline in found:
        if not isinstance(baseline, (Tensor, int, float)):
            raise ArgumentTypeError(f"A baseline is a tensor or a number, got {type(baseline).__name__}.")
    return found


def as_pair(given: object) -> tuple[Point, Point]:
    """Perturbations and perturbed inputs.

    Args:
        given: What a perturbation function gave.

    Returns:
        Both, as tuples of tensors.

    Raises:
        ArgumentTypeError: If it is no pair.
    """
    if not isinstance(given, tuple) or len(given) != 2:
        said = f"a tuple of {len(given)}" if isinstance(given, tuple) else type(given).__name__
        raise ArgumentTypeError(
            f"perturb_func must give perturbations and perturbed inputs, a pair, got {said}; one that gives perturbed"
            " inputs alone is decorated with @infidelity_perturb_func_decorator()."
        )
    return as_point(given[0], "perturbations"), as_point(given[1], "perturbed inputs")


def for_each_row(given: Point, point: Point, what: str) -> Point:
    """Refuse tensors that are not as many as the inputs, or not of their shape; one row may stand for all.

    Args:
        given: Tensors.
        point: Inputs (m, ...).
        what: What the tensors are.

    Returns:
        Tensors (m, ...) of the inputs' shapes.

    Raises:
        ArgumentError: If they do not fit.
    """
    fits = len(given) == len(point) and all(
        leaf.ndim == like.ndim and leaf.shape[1:] == like.shape[1:] and len(leaf) in {1, len(like)}
        for leaf, like in zip(given, point, strict=True)
    )
    if not fits:
        shapes = [[tuple(leaf.shape) for leaf in tensors] for tensors in (given, point)]
        raise ArgumentError(f"{what} must have the shapes of the repeated inputs, {shapes[1]}, got {shapes[0]}.")
    return tuple(leaf.expand_as(like) for leaf, like in zip(given, point, strict=True))
