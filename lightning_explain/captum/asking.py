"""One call of ``attribute``, as the engine is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from lightning_explain.attribution.budget import FIRST_CHUNK, RowBudget
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.interception import NotBatchFirst, UnreachedError
from lightning_explain.attribution.layers import Layers, as_a_whole
from lightning_explain.attribution.methods import Activation, FeatureAblation, FeaturePermutation, Method, Occlusion
from lightning_explain.attribution.model import Forward
from lightning_explain.attribution.outputs import of_each
from lightning_explain.attribution.place import Layer, Neuron
from lightning_explain.attribution.problem import Problem
from lightning_explain.captum.arguments import (
    as_arguments,
    as_baselines,
    as_inputs,
    as_masks,
    as_numbers,
    has_samples,
    positions,
    promoted,
    require_numbers,
    require_samples,
    shaped_like,
)
from lightning_explain.captum.ask import Answer, Ask, in_the_form_of_inputs
from lightning_explain.captum.bar import bar
from lightning_explain.captum.calling import OnePerBatch, PerBatch, PerSample
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError
from lightning_explain.captum.host import Host, owner_of, seed
from lightning_explain.captum.selecting import common, own
from lightning_explain.inputs import Point, is_continuous, leaves, pick


def answer(forward_func: Callable[..., Any], ask: Ask) -> Any:  # noqa: ANN401
    """Explain what is asked.

    Args:
        forward_func: A model, or any function of the inputs and the additional arguments.
        ask: The question.

    Returns:
        Attributions in the form that is asked for; with their convergence delta, if that is.

    Raises:
        ArgumentError: If an argument does not fit.
    """
    host = Host(forward_func, ask.layers)
    with borrowed(host, seed()), bar(ask.progress) as progress:
        try:
            found = _answer(forward_func, host, ask, RowBudget(ask.max_rows, progress))
        except UnreachedError as error:
            raise ArgumentError(host.in_words(str(error))) from None
        given = (ask.form or in_the_form_of_inputs)(found)
        return (given, found.delta.to(found.point[0])) if ask.delta else given


def answers(forward_func: Callable[..., Any], asks: list[Ask]) -> Any:  # noqa: ANN401
    """Explain several things that are asked in one call.

    Returns:
        A list of what :func:`answer` gives; with convergence deltas two lists, in a tuple.
    """
    found = [answer(forward_func, ask) for ask in asks]
    return tuple(map(list, zip(*found, strict=True))) if asks and asks[0].delta else found


def _answer(forward_func: Callable[..., Any], host: Host, ask: Ask, budget: RowBudget) -> Answer:
    inputs = as_inputs(ask.inputs)
    baselines = as_baselines(ask.baselines, inputs, broadcast=ask.whole)
    inputs, baselines = promoted(inputs, baselines), promoted(baselines, inputs)
    if ask.between and not all(map(is_continuous, inputs)):
        return _between_integers(forward_func, host, ask, (inputs, baselines), budget)
    if ask.takes_gradients:
        require_numbers(inputs)
    arguments = as_arguments(ask.additional_forward_args)
    if not has_samples(inputs):
        return _of_nothing(forward_func, host, ask, inputs)
    samples = inputs[0].shape[0] if inputs[0].ndim else 0
    if samples and all(leaf.ndim and len(leaf) == samples for leaf in inputs):
        try:
            call = PerSample(forward_func, len(inputs), arguments, samples)
            rows = budget if owner_of(forward_func) is not None else _in_batches(ask, samples, budget)
            return _per_sample(call, ask, _posed(host, ask, rows, call, inputs, baselines))
        except (OnePerBatch, NotBatchFirst):
            pass
    whole = tuple(leaf[None] for leaf in inputs), tuple(leaf[None] for leaf in baselines)
    batch = PerBatch(forward_func, arguments, ask.target)
    if isinstance(ask.place, (Layer, Layers, Neuron)):
        ask = replace(ask, place=as_a_whole(ask.place))
        batch = replace(batch, total=True, read=ask.reads_outputs)
        return _at_a_place(ask, _posed(host, ask, RowBudget(1, budget.progress), batch, *whole), inputs)
    return _per_batch(batch, ask, _posed(host, ask, budget, batch, *whole), inputs)


def _of_nothing(forward_func: Callable[..., Any], host: Host, ask: Ask, inputs: Point) -> Answer:
    # Where Captum explains an empty batch, there are no attributions, in their form; elsewhere it is a mistake.
    if not isinstance(ask.method, (Activation, FeatureAblation, FeaturePermutation, Occlusion)):
        require_samples(inputs)
    whole, ask = tuple(leaf[None] for leaf in inputs), replace(ask, place=as_a_whole(ask.place))
    call = PerBatch(forward_func, as_arguments(ask.additional_forward_args), read=False)
    problem = _posed(host, ask, RowBudget(1), call, whole, whole)
    point = tuple(torch.zeros_like(leaf[0]) for leaf in problem.z)
    problem.remember(z=point, outputs=point[0].new_zeros(0) + 0.0)  # of integers in floating point
    return Answer(ask, problem, [point], (0,), per_batch=False)


def _between_integers(
    forward_func: Callable[..., Any], host: Host, ask: Ask, ends: tuple[Point, Point], budget: RowBudget
) -> Answer:
    inputs, baselines = map(as_numbers, ends)
    try:
        return _answer(
            forward_func, host, replace(ask, inputs=shaped_like(ask.inputs, inputs), baselines=baselines), budget
        )
    except RuntimeError as error:
        raise ArgumentTypeError(
            "Integers were made numbers, for the model is run between them and their baseline, and it failed:"
            f" {error} Of ids, explain the layer that turns them into numbers, LayerIntegratedGradients(model,"
            " <embedding>), or use FeatureAblation."
        ) from error


def _in_batches(ask: Ask, samples: int, budget: RowBudget) -> RowBudget:
    # What a plain function closes over cannot be seen: labels or weights of the samples, perhaps. So it is given whole
    # batches, as in Captum; those that are perturbed one by one, until a trial shows that rows can be told apart.
    batches = 1 if ask.whole else max(FIRST_CHUNK // samples, 1)
    return RowBudget(ask.max_rows or batches * samples, budget.progress)


def _per_sample(call: PerSample, ask: Ask, problem: Problem) -> Answer:
    if not ask.reads_outputs:
        return _unread(ask, replace(problem, forward=replace(call, read=False)), (call.samples,))
    each = own(ask.target, call.samples)
    call = replace(
        call,
        index=common(ask.target),
        one_each=not ask.whole and each is None,
        as_many=ask.whole and not ask.layers,
    )
    problem = replace(problem, target=each, forward=call)
    if not ask.whole:
        ready = _ready(problem, ask)
        point, deltas = ask.method.with_deltas(ready) if ask.delta else (ask.method(ready), None)
        return Answer(ask, ready, [point], (call.samples,), per_batch=False, deltas=deltas)
    with torch.no_grad():
        outputs = call.outputs(_copies(problem))
    if len(outputs) != call.samples:
        raise OnePerBatch
    if each is None:
        _require_outputs(ask, outputs)
    if (
        ask.max_rows is None
        and problem.budget.max_rows is not None
        and call.tells_rows_apart(_copies(problem), outputs)
    ):
        problem = replace(problem, budget=RowBudget(progress=problem.budget.progress))
    problem.remember(outputs=outputs.detach())
    points, explained = _of_all_outputs(_ready(problem, ask), ask.method)
    shape = tuple(outputs.shape) if each is None else (call.samples,)
    return Answer(ask, explained, points, shape, per_batch=False)


def _per_batch(call: PerBatch, ask: Ask, problem: Problem, inputs: Point) -> Answer:
    # The batch is one sample, in which a feature is the same position of all samples.
    if ask.whole and ask.max_rows is not None:
        raise ArgumentError(
            "The model gives numbers for the batch as a whole, of which one goes through it at a time: leave"
            " perturbations_per_eval at 1."
        )
    with torch.no_grad():
        outputs = call(problem.model, _copies(problem))
    _require_outputs(ask, outputs)
    masks = as_masks(ask.feature_mask, inputs) or positions(inputs)
    if any(len(mask) not in {1, outputs.shape[1]} for mask in masks if mask.ndim):
        raise ArgumentError(
            "The model gives numbers for the batch as a whole: a feature mask then has one row, for all samples."
        )
    problem = problem.masked(tuple(mask[None] for mask in masks))
    problem.remember(outputs=outputs.detach())
    points, explained = _of_all_outputs(problem, ask.batched or ask.method)
    return Answer(ask, explained, points, call.shapes[0], per_batch=True)


def _at_a_place(ask: Ask, problem: Problem, inputs: Point) -> Answer:
    # The batch is one sample; what is explained is the sum over it, to which what belongs to one of its samples
    # contributes by way of that sample.
    if isinstance(problem.place, Neuron) and ask.whole:
        masks = as_masks(ask.feature_mask, inputs) or positions(inputs)
        problem, ask = problem.masked(tuple(mask[None] for mask in masks)), replace(ask, feature_mask=None)
    return _unread(ask, problem, (), per_batch=True)


def _unread(ask: Ask, problem: Problem, shape: tuple[int, ...], *, per_batch: bool = False) -> Answer:
    # What the model gives says nothing about the form of attributions.
    ready = _ready(problem, ask)
    method = (ask.batched if per_batch and isinstance(ask.place, Neuron) else None) or ask.method
    point, deltas = method.with_deltas(ready) if ask.delta else (method(ready), None)
    if ask.whole:
        ready.remember(outputs=ready.value.to(_dtype_explained(ready)))
    return Answer(ask, ready, [point], shape, per_batch=per_batch, deltas=deltas)


def _dtype_explained(problem: Problem) -> torch.dtype:
    first = torch.zeros(1, dtype=torch.long, device=problem.z[0].device)
    with torch.no_grad():
        return problem.score(pick(problem.z, first), first).dtype


def _copies(problem: Problem) -> Point:
    # The model may work in place on its inputs.
    return tuple(leaf.clone() for leaf in leaves(problem.inputs))


def _require_outputs(ask: Ask, outputs: Tensor) -> None:
    if ask.one_output and outputs[0].numel() != 1:
        raise ArgumentError(
            f"The explained outputs have shape {tuple(outputs.shape)}; one number for each sample, or for the batch,"
            " can be explained. Give target=, the index of one."
        )


def _posed(host: Host, ask: Ask, budget: RowBudget, call: Forward, inputs: Point, baselines: Point) -> Problem:
    beside = call.beside if isinstance(call, PerSample) else ()
    problem = pose(host, (*inputs, *beside), None, baseline=(*baselines, *beside), forward=call, budget=budget)
    return replace(problem, about=tuple(range(len(inputs))), place=ask.place, zero_where_unused=ask.zero_where_unused)


def _ready(problem: Problem, ask: Ask) -> Problem:
    # Masks, and the layer's own baselines, have the form of the variable.
    if ask.feature_mask is None and ask.place_baselines is None:
        return problem
    z = problem.z
    ready = problem.masked(as_masks(ask.feature_mask, z))
    ready.remember(z=z)
    given = ask.place_baselines
    if given is not None:
        given = (given,) * len(z) if isinstance(given, (int, float)) else given
        bases = as_baselines(given, z, broadcast=ask.whole)
        ready.remember(z0=tuple(base.to(leaf) for base, leaf in zip(bases, z, strict=True)))
    return ready


def _of_all_outputs(problem: Problem, method: Method) -> tuple[list[Point], Problem]:
    # Attributions of each number that the model gives for a sample, and the problem that explained them.
    dims = tuple(problem.outputs.shape[1:])
    if problem.target is not None or problem.outputs[0].numel() == 1:
        return [method(problem)], problem
    indices = torch.tensor(list(product(*map(range, dims))), device=problem.outputs.device)
    targets = [index.expand(problem.samples, -1) for index in indices]
    if method.shares_points:
        several = of_each(problem, targets)
        return several.split(method(several)), several
    points = []
    for target in targets:
        single = problem.at(problem.place, target)
        single.remember(z=problem.z, z0=problem.z0)
        points.append(method(single))
    return points, problem
