"""From the variable to the number that is explained: what the model is given, and what is read of what it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from lightning_explain.attribution.target import select
from lightning_explain.inputs import Inputs, Point, leaves, rebuild

if TYPE_CHECKING:
    from lightning_explain.attribution.question import Question


def replaced(problem: Question, z: Point, rows: Tensor) -> Inputs:
    """Put the variable in the place of the inputs that can vary.

    Args:
        problem: The problem, with the samples.
        z: The variable (m, ...) each; clones are given on, for a model may work in place on its inputs.
        rows: The samples that the other inputs are taken from (m,).

    Returns:
        Inputs of m samples.
    """
    inputs, given = problem.inputs, dict(zip(problem.varied, z, strict=True))
    point = tuple(
        given[i].clone() if i in given else leaf.index_select(0, rows) for i, leaf in enumerate(leaves(inputs))
    )
    return rebuild(inputs, point)


def explained(problem: Question, outputs: Tensor, rows: Tensor) -> Tensor:
    """Read what is explained from what the model gave.

    Args:
        problem: The problem.
        outputs: The model's outputs (m, ...).
        rows: Whose targets are explained (m,).

    Returns:
        One number for each of ``rows``, (m,).
    """
    if problem.unresolved is not None:
        return select(outputs, problem.unresolved.index(outputs, rows), problem.readout)
    target = None if problem.target is None else problem.target.index_select(0, rows)
    return select(outputs, target, problem.readout)
