"""Captum's ``gradient_func``: how a method of gradients takes them, which users may replace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution import methods
from lightning_explain.attribution.place import Input, differentiable
from lightning_explain.attribution.scoring import replaced
from lightning_explain.captum.arguments import Tensors, as_inputs, require_alike
from lightning_explain.captum.ask import ELEMENTS, Ask
from lightning_explain.captum.asking import answer
from lightning_explain.captum.calling import PerBatch, PerSample
from lightning_explain.captum.errors import ArgumentError
from lightning_explain.captum.lending import as_point
from lightning_explain.captum.repeating import is_for_each
from lightning_explain.captum.selecting import Target
from lightning_explain.inputs import Point, leaves

if TYPE_CHECKING:
    from lightning_explain.attribution.question import Question

GradientFunction: TypeAlias = Callable[..., Any]
"""(forward function, inputs, target, additional arguments) -> a gradient for each input, a tuple."""

FREE = (methods.Saliency, methods.InputXGradient, methods.IntegratedGradients, methods.GradientShap)
"""The methods that are made of gradients, however these are taken."""


def compute_gradients(
    forward_fn: Callable[..., Any],
    inputs: Tensors,
    target_ind: Target = None,
    additional_forward_args: object = None,
) -> Point:
    """The gradient of what is explained with respect to the inputs.

    Args:
        forward_fn: A model, or any function of the inputs and the additional arguments.
        inputs: A tensor (n, ...), or a tuple of tensors.
        target_ind: Which output is explained.
        additional_forward_args: What the forward function is given after the inputs.

    Returns:
        Tensors like the inputs, in a tuple, detached.

    Raises:
        ArgumentError: If the arguments do not fit.
    """
    method = methods.Saliency(absolute=False)
    found: Point = answer(
        forward_fn,
        Ask(method, as_inputs(inputs), target=target_ind, additional_forward_args=additional_forward_args),
    )
    return found


def taken_by(gradient_func: GradientFunction, ask: Ask) -> Ask:
    """The question, gradients with respect to the inputs being taken by a function of the user's.

    Args:
        gradient_func: The function; :func:`compute_gradients` leaves everything to the engine.
        ask: The question.

    Returns:
        A question; the same for places other than the inputs, where Captum does not ask the function either.

    Raises:
        ArgumentError: If the method has rules of its own for what a gradient is.
    """
    if gradient_func is compute_gradients or ask.place is not ELEMENTS:
        return ask
    if not isinstance(ask.method, FREE):
        raise ArgumentError(
            f"gradient_func plays no part in {type(ask.method).__name__}, which has rules of its own for the backward"
            " pass of every operator: leave it as it was."
        )
    return replace(ask, place=ByFunction(ELEMENTS.channel_dim, gradient_func, ask.target))


@dataclass(frozen=True)
class ByFunction(Input):
    """The inputs; the value of the score is that of the output, its gradient what a function says.

    Args:
        function: The function.
        target: Which output is explained, as Captum takes it.
    """

    function: GradientFunction = compute_gradients
    target: Target = field(default=None, compare=False)

    def score(self, problem: Question, z: Point, rows: Tensor) -> Tensor:  # noqa: D102
        if not torch.is_grad_enabled():
            return super().score(problem, z, rows)
        with torch.no_grad():
            value = super().score(problem, z, rows)
        slopes = self._slopes(problem, z, rows)
        flow = sum((slope * leaf).reshape(len(leaf), -1).sum(dim=1) for slope, leaf in zip(slopes, z, strict=True))
        return value + flow - flow.detach()  # type: ignore[union-attr]  # there is an input

    def _slopes(self, problem: Question, z: Point, rows: Tensor) -> Point:
        call: PerSample | PerBatch = problem.forward  # type: ignore[assignment]  # as all problems of shells are called
        target = self._target(rows) if isinstance(call, PerSample) else self.target
        parts = []
        for point, arguments in call.calls(leaves(replaced(problem, z, rows))):
            variables = tuple(differentiable(leaf.detach()) for leaf in point)
            given = as_point(self.function(call.function, variables, target, arguments or None), "Gradients")
            require_alike(given, variables, "gradient_func must give gradients of the shapes of the inputs")
            parts.append(tuple(gradient.detach() for gradient in given))
        return tuple(torch.stack(part).view_as(leaf) for part, leaf in zip(zip(*parts, strict=True), z, strict=True))

    def _target(self, rows: Tensor) -> Target:
        if isinstance(self.target, list):
            return [self.target[row] for row in rows.tolist()]  # of the same kind
        if isinstance(self.target, Tensor) and is_for_each(self.target):
            return self.target[rows.to(self.target.device)]
        return self.target
