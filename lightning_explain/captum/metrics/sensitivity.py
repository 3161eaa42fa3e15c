"""Captum's ``sensitivity_max``."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from lightning_explain.captum.arguments import Tensors, as_inputs, require_samples
from lightning_explain.captum.errors import ArgumentError
from lightning_explain.captum.lending import as_point, unpacked
from lightning_explain.captum.metrics.copies import copies_at_a_time
from lightning_explain.captum.repeating import Repetition
from lightning_explain.inputs import Point
from lightning_explain.metrics.robustness.changes import relative_change
from lightning_explain.metrics.robustness.noise import worst
from lightning_explain.randomness import stream
from lightning_explain.robust.norms import LInf

_USES = itertools.count()


def default_perturb_func(inputs: Tensors, perturb_radius: float = 0.02) -> Point:
    """Add uniform noise, other noise at each call.

    The numbers follow from ``torch.manual_seed``, and do not move the global generator.

    Args:
        inputs: Inputs (n, ...), a tensor or a tuple.
        perturb_radius: How far an element moves, at most, in units of the input.

    Returns:
        A tuple of tensors like the inputs.
    """
    return _noisy(inputs, perturb_radius, stream(f"default_perturb_func {next(_USES)}", torch.initial_seed()))


def sensitivity_max(
    explanation_func: Callable[..., Any],
    inputs: Tensors,
    perturb_func: Callable[..., Any] = default_perturb_func,
    perturb_radius: float = 0.02,
    n_perturb_samples: int = 10,
    norm_ord: str | float = "fro",
    max_examples_per_batch: int | None = None,
    **kwargs: Any,
) -> Tensor:
    """The largest relative change of an explanation under small perturbations of the inputs.

    The formula is :func:`lightning_explain.metrics.robustness.changes.relative_change`; a map that is all zero counts
    as one of size 1. With the default noise the same call after the same ``torch.manual_seed`` gives the same numbers.

    Args:
        explanation_func: (inputs, **kwargs) -> attributions, as an ``attribute`` method is. It is called with a tuple
            for the inputs, and with what ``perturb_func`` gives.
        inputs: Inputs (n, ...), a tensor or a tuple.
        perturb_func: (inputs, and the radius if it takes two) -> perturbed inputs. Each sample is repeated in its
            place.
        perturb_radius: See there.
        n_perturb_samples: Perturbations of each sample.
        norm_ord: The norm: ``"fro"``, or a number as for :func:`torch.linalg.vector_norm`.
        max_examples_per_batch: How many rows are perturbed and explained together.
        kwargs: For ``explanation_func``. ``target``, ``additional_forward_args``, ``baselines`` and ``feature_mask``
            are repeated with the samples.

    Returns:
        Sensitivities (n,) >= 0, at least in float32.

    Raises:
        ArgumentError: If there is no such norm.
    """
    order = 2.0 if norm_ord == "fro" else norm_ord
    if isinstance(order, str):
        raise ArgumentError(f"norm_ord must be 'fro' or a number, got {norm_ord!r}: an explanation is a vector here.")
    point, perturbed = as_inputs(inputs), _perturber(perturb_func, perturb_radius)
    require_samples(point)
    with torch.no_grad():
        before = as_point(explanation_func(point, **kwargs), "explanations")
        parts = []
        for copies in copies_at_a_time(len(point[0]), n_perturb_samples, max_examples_per_batch):
            repetition = Repetition(copies, len(point[0]))
            moved = perturbed(unpacked(repetition.each(point)))
            after = as_point(explanation_func(moved, **repetition.of(kwargs)), "explanations")
            change = relative_change(after, repetition.each(before), order, of_nothing=1.0)
            parts.append(change.view(-1, copies).T)
    changes = torch.cat(parts)
    kind = torch.promote_types(before[0].dtype, torch.float32)
    return worst(changes, torch.ones_like(changes, dtype=torch.bool)).to(before[0].device, kind)


def _perturber(perturb_func: Callable[..., Any], radius: float) -> Callable[[Tensors], Any]:
    if perturb_func is default_perturb_func:
        return partial(_noisy, radius=radius, generator=stream("sensitivity_max", torch.initial_seed()))
    if len(signature(perturb_func).parameters) > 1:
        return lambda inputs: perturb_func(inputs, radius)
    return perturb_func


def _noisy(inputs: Tensors, radius: float, generator: torch.Generator) -> Point:
    floating = (leaf if leaf.is_floating_point() else leaf.float() for leaf in as_inputs(inputs))
    return tuple(leaf + LInf().draw(torch.ones_like(leaf), radius, generator) for leaf in floating)
