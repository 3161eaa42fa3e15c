"""A look at all samples, chunk by chunk: what the model gives for them, and the variable of the place."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_explain.attribution.model import FEWEST, UNFIT, Recorded, output
from lightning_explain.attribution.place import Input, Neuron
from lightning_explain.inputs import Inputs, Point, batch_size, leaves, rebuild, take

if TYPE_CHECKING:
    from lightning_explain.attribution.question import Question


def outputs_of(question: Question) -> Tensor:
    """What the model gives for the samples.

    Returns:
        Outputs (n, ...), without a graph.
    """
    parts: list[Tensor] = []

    def body(chunk: slice) -> None:
        # Copies, for the model may work in place on its inputs.
        part = rebuild(question.inputs, tuple(leaf[chunk].clone() for leaf in leaves(question.inputs)))
        with torch.no_grad():
            parts.append(output(question.model, part, question.forward).clone())  # a view would keep all its base

    question.run(question.samples, "forward", body)
    return torch.cat(parts)


def variable_of(question: Question, inputs: Inputs) -> Point:
    """The variable of the place.

    Args:
        question: The question.
        inputs: Samples.

    Returns:
        Tensors (n, ...); with their graph, if the question is to have one.
    """
    parts: list[Point] = []

    def body(chunk: slice) -> None:
        z = question.place.variable(question, _rows(inputs, chunk))
        parts.append(z if question.create_graph else tuple(leaf.detach() for leaf in z))

    if isinstance(question.place, (Input, Neuron)):  # no pass of the model, from which a budget could learn
        return question.place.variable(question, inputs)
    question.run(batch_size(inputs), f"reach{question.place}", body)  # less than a whole pass, perhaps
    return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))


def variable_of_alike(question: Question, inputs: Inputs) -> Point:
    """The variable of the place at samples that are often all the same, as baselines are: few of them then tell it.

    Returns:
        As :func:`variable_of`.
    """
    n = batch_size(inputs)
    if isinstance(question.place, (Input, Neuron)) or question.create_graph or n <= FEWEST or not _are_alike(inputs):
        return variable_of(question, inputs)
    with suppress(*UNFIT):  # of a model that wants as many as there are
        few = variable_of(question, _rows(inputs, slice(0, FEWEST)))
        return tuple(leaf[:1].expand(n, *leaf.shape[1:]).contiguous() for leaf in few)
    return variable_of(question, inputs)


def outputs_and_variable_of(question: Question) -> tuple[Tensor, Point]:
    """Both from the same passes: a layer's variable takes one of the model, which gives the outputs too.

    Returns:
        Outputs (n, ...) and tensors (n, ...), without a graph.
    """
    recorded = Recorded(question.forward)
    watching = replace(question, forward=recorded)
    parts: list[tuple[Tensor, Point]] = []

    def body(chunk: slice) -> None:
        part = _rows(question.inputs, chunk)
        z, given = question.place.variable(watching, part), recorded.output(question.model, part)
        # A model may switch gradients on by itself.
        parts.append((given.detach().clone(), tuple(leaf.detach() for leaf in z)))

    question.run(question.samples, f"forward{question.place}", body)
    outputs, variables = zip(*parts, strict=True)
    return torch.cat(outputs), tuple(map(torch.cat, zip(*variables, strict=True)))


def _are_alike(inputs: Inputs) -> bool:
    return all(torch.equal(leaf, leaf[:1].expand_as(leaf)) for leaf in leaves(inputs))


def _rows(inputs: Inputs, chunk: slice) -> Inputs:
    return take(inputs, torch.arange(chunk.start, chunk.stop, device=leaves(inputs)[0].device))
