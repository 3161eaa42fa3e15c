"""Captum's ``infidelity``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lightning_explain.captum.arguments import (
    Baselines,
    Tensors,
    as_arguments,
    as_inputs,
    require_alike,
    require_samples,
)
from lightning_explain.captum.errors import ArgumentError
from lightning_explain.captum.lending import Call, as_point, kept, unpacked
from lightning_explain.captum.metrics.copies import (
    as_pair,
    copies_at_a_time,
    for_each_row,
    given_baselines,
)
from lightning_explain.captum.repeating import Repetition
from lightning_explain.captum.selecting import Target
from lightning_explain.inputs import Point
from lightning_explain.metrics.faithfulness import infidelity as formula

PerturbFunction = Callable[..., Any]


def infidelity_perturb_func_decorator(multiply_by_inputs: bool = True) -> Callable[[PerturbFunction], PerturbFunction]:
    """Let a function that gives perturbed inputs give the perturbations as well.

    Args:
        multiply_by_inputs: Whether the attributions have the input as a factor: then a perturbation is measured in
            units of the way to the baseline.

    Returns:
        The decorator.

    Example:
        >>> @infidelity_perturb_func_decorator(multiply_by_inputs=False)
        ... def halved(inputs):
        ...     return inputs / 2
        >>> halved(torch.tensor([[2.0, 4.0]]))
        ((tensor([[1., 2.]]),), (tensor([[1., 2.]]),))
    """

    def decorator(perturb_func: PerturbFunction) -> PerturbFunction:
        @functools.wraps(perturb_func)
        def both(inputs: Tensors, baselines: Baselines = None) -> tuple[Point, Point]:
            given = perturb_func(inputs) if baselines is None else perturb_func(inputs, baselines)
            point = as_inputs(inputs)
            perturbed = for_each_row(as_point(given, "perturbed inputs"), point, "Perturbed inputs")
            triples = zip(point, perturbed, given_baselines(baselines, len(point)), strict=True)
            changes = (formula.perturbation(*triple, relative=multiply_by_inputs) for triple in triples)
            return tuple(changes), perturbed

        return both

    return decorator


def infidelity(  # noqa: PLR0913  (Captum's)
    forward_func: Callable[..., Any],
    perturb_func: PerturbFunction,
    inputs: Tensors,
    attributions: Tensors,
    baselines: Baselines = None,
    additional_forward_args: object = None,
    target: Target = None,
    n_perturb_samples: int = 10,
    max_examples_per_batch: int | None = None,
    normalize: bool = False,
) -> Tensor:
    """The mean squared error of what attributions foretell about perturbations of the inputs.

    The formula is :func:`lightning_explain.metrics.faithfulness.infidelity.infidelity`, not divided by the drops.

    Args:
        forward_func: The model, or any function of the inputs.
        perturb_func: (inputs, baselines if there are any) -> perturbations and perturbed inputs. Each sample is
            repeated in its place.
        inputs: Inputs (n, ...), a tensor or a tuple.
        attributions: Attributions of the same shapes.
        baselines: Baselines; tensors, numbers or a tuple of them.
        additional_forward_args: What the forward function is passed after the inputs.
        target: Which output is explained.
        n_perturb_samples: Perturbations of each sample.
        max_examples_per_batch: How many rows are perturbed, and go through the model, together.
        normalize: Multiply what is foretold by the number, of either sign, that fits best.

    Returns:
        Infidelities (n,) >= 0, at least in float32.

    Raises:
        ArgumentError: If shapes do not fit.
    """
    point, maps = as_inputs(inputs), as_point(attributions, "attributions")
    require_samples(point)
    require_alike(maps, point, "Attributions must have the shapes of the inputs")
    call = Call(forward_func, as_arguments(additional_forward_args), target)
    held = None if baselines is None else given_baselines(baselines, len(point))
    with kept(forward_func), torch.no_grad():
        before = _column(call.scores(point), len(point[0]))
        foretold, drops = [], []
        for copies in copies_at_a_time(len(point[0]), n_perturb_samples, max_examples_per_batch):
            repetition = Repetition(copies, len(point[0]))
            perturbations, perturbed = _perturbed(perturb_func, point, held, repetition)
            told = formula.foretelling(repetition.each(maps), perturbations)
            foretold.append(told.view(len(before), copies))
            after = call.repeated(repetition).scores(perturbed)
            drops.append(before - _column(after, len(before) * copies).view(len(before), copies))
    said, fallen = torch.cat(foretold, dim=1), torch.cat(drops, dim=1)
    said = formula.best_scale(said, fallen) * said if normalize else said
    kind = torch.promote_types(torch.promote_types(maps[0].dtype, fallen.dtype), torch.float32)
    return formula.infidelity(said, fallen, normalize=False).to(point[0].device, kind)


def _perturbed(
    perturb_func: PerturbFunction, point: Point, baselines: tuple[Tensor | float, ...] | None, repetition: Repetition
) -> tuple[Point, Point]:
    many = repetition.each(point)
    along = () if baselines is None else (unpacked(repetition.beside(baselines)),)
    perturbations, perturbed = as_pair(perturb_func(unpacked(many), *along))
    return for_each_row(perturbations, many, "Perturbations"), for_each_row(perturbed, many, "Perturbed inputs")


def _column(scores: Tensor, rows: int) -> Tensor:
    if scores.numel() != rows:
        raise ArgumentError(
            f"Expected one number for each of {rows} rows from the forward function and the target, got shape"
            f" {tuple(scores.shape)}."
        )
    return scores.reshape(rows, 1)
