"""What is asked in one call of ``attribute``, what the engine gave, and the form of the inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import Tensor, nn

from lightning_explain.attribution.convergence import convergence_delta
from lightning_explain.attribution.methods import Method
from lightning_explain.attribution.place import Input, Neuron, Place
from lightning_explain.attribution.problem import Problem
from lightning_explain.captum.arguments import Baselines, Tensors, shaped_like
from lightning_explain.captum.selecting import Target
from lightning_explain.inputs import Point

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
        owed: Whether the delta counts what is missing, as Captum counts that of relevances, not what is too much.
        whole: Whether the model is run on the whole batch first, to see whether it gives a row for each sample: where
            attributions of other outputs have another form. Baselines may then have any shape that broadcasts.
        between: Whether the model is run between the inputs and their baseline: integers are then numbers, not ids.
        batched: The method where the model gives numbers for the batch as a whole, which is one sample then; None:
            the same.
        one_output: Whether the model must give one number for each sample, or for the batch.
        progress: What to write before a bar that shows how far it is; empty: no bar.
        zero_where_unused: Whether the gradient is zero where what is explained does not depend on the place.
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
    owed: bool = False
    whole: bool = False
    between: bool = False
    zero_where_unused: bool = False
    batched: Method | None = None
    one_output: bool = False
    progress: str = ""
    form: Form | None = field(default=None, repr=False)

    @property
    def reads_outputs(self) -> bool:
        """Whether it matters what the model gives: not at a neuron, nor for what is there."""
        at_neuron = isinstance(self.place, Neuron) and not self.method.through
        return self.method.about_score and not at_neuron

    @property
    def takes_gradients(self) -> bool:
        """Whether gradients are taken with respect to the inputs, not to what goes through a layer."""
        return isinstance(self.place, (Input, Neuron)) and self.method.about_score and not self.whole


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
        deltas: Convergence deltas (n, draws), where they are asked for: a method that is a mean over draws has one for
            each.
    """

    ask: Ask
    problem: Problem
    points: list[Point]
    shape: tuple[int, ...]
    per_batch: bool
    deltas: Tensor | None = None

    @property
    def point(self) -> Point:
        """Attributions of the one output that is explained."""
        return self.points[0]

    @property
    def delta(self) -> Tensor:
        """The convergence delta of each sample and draw, (n * draws,), the draws of a sample together."""
        if self.deltas is None:
            return convergence_delta(self.point, self.problem.value, self.ask.method.reference(self.problem))
        return -self.deltas.flatten() if self.ask.owed else self.deltas.flatten()


Form: TypeAlias = Callable[[Answer], Any]


def in_the_form_of_inputs(found: Answer) -> Tensors:
    """A tensor like each input, in a tuple where the inputs are in one.

    Returns:
        Attributions.
    """
    point = in_dtype_of(found.problem.z, found.point)
    return shaped_like(found.ask.inputs, tuple(leaf[0] for leaf in point) if found.per_batch else point)


def in_dtype_of(variable: Point, point: Point) -> Point:
    """Attributions in the precision of what they are about.

    Returns:
        Tensors like ``point``; those about integers keep their dtype.
    """
    return tuple(
        leaf.to(held.dtype) if held.is_floating_point() else leaf for held, leaf in zip(variable, point, strict=True)
    )
