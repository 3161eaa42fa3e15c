"""One call of ``attribute``, as the engine is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.engine import convergence_delta, pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.methods import Method
from lightning_explain.attribution.model import Forward
from lightning_explain.attribution.outputs import of_each
from lightning_explain.attribution.place import Input, Place
from lightning_explain.attribution.problem import Problem
from lightning_explain.captum.arguments import (
    Baselines,
    Tensors,
    as_arguments,
    as_baselines,
    as_inputs,
    as_masks,
    positions,
    promoted,
    shaped_like,
)
from lightning_explain.captum.bar import bar
from lightning_explain.captum.calling import OnePerBatch, PerBatch, PerSample
from lightning_explain.captum.errors import ArgumentError
from lightning_explain.captum.host import Host
from lightning_explain.captum.selecting import Target, common, own
from lightning_explain.inputs import Inputs, Point, leaves

ELEMENTS = Input(channel_dim=None)
"""The inputs, every element being a feature of its own."""


@dataclass(frozen=True)
class Ask:
    """What is asked in one call of ``attribute``.

    Args:
        method: The engine's method.
        inputs: As Captum takes them; so are the next four.
        baselines: None for methods without one.
        target: Which output is explained.
        additional_forward_args: What the forward function is given after the inputs.
        feature_mask: Which elements are one feature, at the place.
        max_rows: The most rows that go through the model at once; None: chosen by measurement.
        place: Where; layers are called by :meth:`Host.name`.
        layers: The layers that the place names.
        place_baselines: Baselines of the place's variable, where they are not those of the inputs.
        delta: Whether the convergence delta is returned too.
        whole: Whether the model is run on the whole batch first, to see whether it gives a row for each sample: where
            attributions of other outputs have another form. Baselines may then have any shape that broadcasts.
        batched: The method where the model gives numbers for the batch as a whole, which is one sample then; None:
            the same.
        one_output: Whether the model must give one number for each sample, or for the batch.
        progress: What to write before a bar that shows how far it is; empty: no bar.
        form: Makes what is returned of the answer; None: the form of the inputs.
    """

    method: Method
    inputs: Tensors
    baselines: Baselines = None
    target: Target = None
    additional_forward_args: object = None
    feature_mask: Tensors | None = None
    max_rows: int | None = None
    place: Place = ELEMENTS
    layers: tuple[nn.Module, ...] = ()
    place_baselines: Baselines = None
    delta: bool = False
    whole: bool = False
    batched: Method | None = None
    one_output: bool = False
    progress: str = ""
    form: Form | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Answer:
    """What the engine gave.

    Args:
        ask: What was asked.
        problem: The problem, which knows the variable and its baseline.
        points: Attributions of each explained output, one tensor (n, ...) for each tensor that is explained. Where the
            model gives numbers for the batch as a whole, n is 1 and what follows is the form of one sample.
        shape: The shape of what is explained: (n, ...) or, for the batch as a whole, that of the model's output.
        per_batch: Whether the model gives numbers for the batch as a whole.
    """

    ask: Ask
    problem: Problem
    points: list[Point]
    shape: tuple[int, ...]
    per_batch: bool

    @property
    def point(self) -> Point:
        """Attributions of the one output that is explained."""
        return self.points[0]

    @property
    def delta(self) -> Tensor:
        """The convergence delta of each sample, (n,)."""
        point = tuple(leaf[None] for leaf in self.point) if self.per_batch else self.point
        return convergence_delta(point, self.problem.value, self.ask.method.reference(self.problem))


Form: TypeAlias = Callable[[Answer], Any]


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
    with borrowed(host), bar(ask.progress) as progress:
        found = _answer(forward_func, host, ask, RowBudget(ask.max_rows, progress))
        given = (ask.form or in_the_form_of_inputs)(found)
        return (given, found.delta.to(found.point[0])) if ask.delta else given


def in_the_form_of_inputs(found: Answer) -> Tensors:
    """A tensor like each input, in a tuple where the inputs are in one.

    Returns:
        Attributions.
    """
    return shaped_like(found.ask.inputs, in_dtype_of(found.problem.z, found.point))


def in_dtype_of(variable: Point, point: Point) -> Point:
    """Attributions in the precision of what they are about.

    Returns:
        Tensors like ``point``; those about integers keep their dtype.
    """
    return tuple(
        leaf.to(held.dtype) if held.is_floating_point() else leaf for held, leaf in zip(variable, point, strict=True)
    )


def _answer(forward_func: Callable[..., Any], host: Host, ask: Ask, budget: RowBudget) -> Answer:
    inputs = as_inputs(ask.inputs)
    baselines = as_baselines(ask.baselines, inputs, broadcast=ask.whole)
    inputs, baselines = promoted(inputs, baselines), promoted(baselines, inputs)
    arguments = as_arguments(ask.additional_forward_args)
    samples = inputs[0].shape[0] if inputs[0].ndim else 0
    if samples and all(leaf.ndim and len(leaf) == samples for leaf in inputs):
        try:
            call = PerSample(forward_func, len(inputs), arguments, samples)
            return _per_sample(call, ask, _posed(host, ask, budget, call, inputs, baselines))
        except OnePerBatch:
            pass
    whole = tuple(leaf[None] for leaf in inputs), tuple(leaf[None] for leaf in baselines)
    batch = PerBatch(forward_func, arguments, ask.target)
    return _per_batch(batch, ask, _posed(host, ask, budget, batch, *whole), inputs)


def _per_sample(call: PerSample, ask: Ask, problem: Problem) -> Answer:
    each = own(ask.target, call.samples)
    call = replace(
        call,
        index=common(ask.target),
        one_each=not ask.whole and each is None,
        as_many=ask.whole and not ask.layers,
    )
    problem = replace(problem, target=each, forward=call)
    if not ask.whole:
        return Answer(ask, problem, [ask.method(_ready(problem, ask))], (call.samples,), per_batch=False)
    with torch.no_grad():
        outputs = call.outputs(_copies(problem.inputs))
    if len(outputs) != call.samples:
        raise OnePerBatch
    if each is None:
        _require_outputs(ask, outputs)
    problem.remember(outputs=outputs.detach())
    points, explained = _of_all_outputs(_ready(problem, ask), ask.method)
    shape = tuple(outputs.shape) if each is None else (call.samples,)
    return Answer(ask, explained, points, shape, per_batch=False)


def _per_batch(call: PerBatch, ask: Ask, problem: Problem, inputs: Point) -> Answer:
    # The batch is one sample, in which a feature is the same position of all samples.
    if ask.layers:
        raise ArgumentError("Layers can be explained for models that give a row for each sample; this one does not.")
    if ask.whole and ask.max_rows is not None:
        raise ArgumentError(
            "The model gives numbers for the batch as a whole, of which one goes through it at a time: leave"
            " perturbations_per_eval at 1."
        )
    with torch.no_grad():
        outputs = call(problem.model, _copies(problem.inputs))
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


def _copies(inputs: Inputs) -> Point:
    # The model may work in place on its inputs.
    return tuple(leaf.clone() for leaf in leaves(inputs))


def _require_outputs(ask: Ask, outputs: Tensor) -> None:
    if ask.one_output and outputs[0].numel() != 1:
        raise ArgumentError(
            f"The explained outputs have shape {tuple(outputs.shape)}; one number for each sample, or for the batch,"
            " can be explained. Give target=, the index of one."
        )


def _posed(host: Host, ask: Ask, budget: RowBudget, call: Forward, inputs: Point, baselines: Point) -> Problem:
    beside = call.beside if isinstance(call, PerSample) else ()
    problem = pose(host, (*inputs, *beside), None, baseline=(*baselines, *beside), forward=call, budget=budget)
    return replace(problem, about=tuple(range(len(inputs))), place=ask.place)


def _ready(problem: Problem, ask: Ask) -> Problem:
    # Masks, and the layer's own baselines, have the form of the variable.
    if ask.feature_mask is None and ask.place_baselines is None:
        return problem
    z = problem.z
    ready = problem.masked(as_masks(ask.feature_mask, z))
    ready.remember(z=z)
    if ask.place_baselines is not None:
        ready.remember(
            z0=tuple(base.to(leaf) for base, leaf in zip(as_baselines(ask.place_baselines, z), z, strict=True))
        )
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
