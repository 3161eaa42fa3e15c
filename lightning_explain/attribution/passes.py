"""One forward pass that gives all: the outputs, the variable, its gradients, a neuron's score."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import torch
from torch import Tensor

from lightning_explain.attribution.derivative import accumulator, derivative
from lightning_explain.attribution.model import Recorded
from lightning_explain.attribution.place import Input, Neuron
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.scoring import explained
from lightning_explain.attribution.target import resolve_target, select
from lightning_explain.attribution.unresolved import Unresolved
from lightning_explain.inputs import Point, leaves, pick
from lightning_explain.targets import Target


def with_target(problem: Problem, target: Target, label: Tensor | None) -> Problem:
    """Resolve what is explained from the model's outputs.

    Returns:
        The same problem, with its target.
    """
    return problem.at(problem.place, resolve_target(target, problem.outputs, label))


def resolved_on_the_way(problem: Problem, target: Target | None, label: Tensor | None) -> Problem:
    """Resolve a target from the outputs of the very pass whose gradient is taken.

    Args:
        problem: The problem, without a target.
        target: What is explained; None: the place's own score, a neuron.
        label: Class labels (n,), for ``target="label"``.

    Returns:
        The problem with its target; it remembers the outputs, the variable and the gradient.
    """
    problem.require_numbers()
    unresolved = None if target is None else Unresolved(target, label, problem.samples)
    kept: list[tuple[Point, Point, Tensor]] = []

    def body(chunk: slice) -> None:
        rows = torch.arange(chunk.start, chunk.stop, device=leaves(problem.inputs)[0].device)
        z, score, given = _pass(problem, rows)
        if unresolved is not None:
            score = select(given, unresolved.index(given, rows), problem.readout)
        slope = derivative(problem, score, z)
        kept.append((tuple(leaf.detach() for leaf in z), slope, given.detach()))

    with torch.enable_grad():
        problem.run(problem.samples, f"observe{problem.place}", body)
    variables, slopes, outputs = zip(*kept, strict=True)
    posed = replace(problem, target=None if unresolved is None else unresolved.indices)
    posed.remember(z=_joined(variables), slope=_joined(slopes), outputs=torch.cat(outputs))
    return posed


def share_pass(problems: list[Problem]) -> None:
    """Take the gradients for several targets from one forward pass; the problems remember it.

    Args:
        problems: The same samples at the same place, with different targets.
    """
    first, variables = problems[0], list[Point]()
    first.require_numbers()
    slopes: list[list[Point]] = [[] for _ in problems]

    def body(chunk: slice) -> None:
        rows = torch.arange(chunk.start, chunk.stop, device=leaves(first.inputs)[0].device)
        z, _, given = _pass(first, rows)
        part = [derivative(posed, _score(posed, given, rows), z, again=True) for posed in problems]
        variables.append(tuple(leaf.detach() for leaf in z))
        for held, slope in zip(slopes, part, strict=True):
            held.append(slope)

    first.run(first.samples, f"observe{first.place}", body)
    for posed, held in zip(problems, slopes, strict=True):
        posed.remember(z=_joined(variables), slope=_joined(held))


class Beside:
    """Scores of the samples themselves; what the model gives beside a neuron's score need not be run for again.

    Where an output is explained, what resolves its target has it already.

    Args:
        problem: The problem.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem, self._recorded = problem, Recorded(problem.forward)
        self._watched = replace(problem, forward=self._recorded) if isinstance(problem.place, Neuron) else None
        self._value: Tensor | None = None
        self._outputs: Tensor | None = None
        self._seen: set[int] = set()

    def score(self, z: Point, rows: Tensor) -> Tensor:
        """The explained number, with its graph.

        Args:
            z: The variable at some samples (m, ...).
            rows: Which samples these are, (m,).

        Returns:
            Scores (m,).
        """
        if self._watched is None:
            return self._problem.score(z, rows)
        return self._noted(self._watched.score(z, rows), rows)

    def observe(self, x: Point, rows: Tensor) -> tuple[Point, Tensor]:
        """The variable, and the explained number with its graph, from one pass.

        Args:
            x: The inputs of some samples, those that can vary (m, ...).
            rows: Which samples these are, (m,).

        Returns:
            Tensors (m, ...), and scores (m,).
        """
        if self._watched is None:
            return self._problem.place.observe(self._problem, x, rows)
        z, score = self._watched.place.observe(self._watched, x, rows)
        return z, self._noted(score, rows)

    def remember(self) -> None:
        """Tell the problem its value and its outputs, where all samples have been seen."""
        if self._value is not None and self._outputs is not None and len(self._seen) == self._problem.samples:
            self._problem.remember(value=self._value, outputs=self._outputs)

    def _noted(self, score: Tensor, rows: Tensor) -> Tensor:
        with torch._C.DisableTorchFunction():  # noqa: SLF001  (a mode that watches the model must not see this)
            self._note(score.detach(), rows)
        return score

    def _note(self, score: Tensor, rows: Tensor) -> None:
        with contextlib.suppress(TypeError, ValueError):  # a model may give none, and nobody may ask for them
            given = self._recorded.output(self._problem.model, self._problem.inputs, len(rows)).detach()
            if self._value is None or self._outputs is None:
                samples = self._problem.samples
                self._value = score.new_empty(samples, dtype=accumulator(score))
                self._outputs = given.new_empty(samples, *given.shape[1:])
            self._value[rows], self._outputs[rows] = score.to(self._value.dtype), given
            self._seen.update(rows.tolist())


def _pass(problem: Problem, rows: Tensor) -> tuple[Point, Tensor, Tensor]:
    # The variable, the place's score, and what the model gives: the place itself only tells one number of it.
    recorded = Recorded(problem.forward)
    x = pick(Input().variable(problem, problem.inputs), rows)
    with torch.enable_grad():
        z, score = problem.place.observe(replace(problem, forward=recorded, target=None, readout="first"), x, rows)
    return z, score, recorded.output(problem.model, problem.inputs, len(rows))


def _score(problem: Problem, given: Tensor, rows: Tensor) -> Tensor:
    with torch.enable_grad():
        return explained(problem, given, rows)


def _joined(parts: tuple[Point, ...] | list[Point]) -> Point:
    return tuple(map(torch.cat, zip(*parts, strict=True)))
