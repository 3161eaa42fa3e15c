"""One forward pass that gives all: the outputs, the variable, and its gradients."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lightning_explain.attribution.derivative import derivative
from lightning_explain.attribution.model import Recorded
from lightning_explain.attribution.place import Input
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
