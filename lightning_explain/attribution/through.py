"""The explained output, as far as it flows through a unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_explain.attribution.interception import capturing
from lightning_explain.attribution.place import Input, Neuron
from lightning_explain.inputs import Point

if TYPE_CHECKING:
    from lightning_explain.attribution.question import Question


@dataclass(frozen=True)
class Through(Neuron):
    """The inputs, explaining the output as far as it flows through one unit (or through several).

    The score's value is that of the output; its gradient with respect to the inputs is that along the paths through the
    unit alone, the output's gradient at the unit times the unit's. A unit that is chosen by a function is taken from
    that product, so the function must select, or add up.
    """

    def score(self, problem: Question, z: Point, rows: Tensor) -> Tensor:  # noqa: D102
        def split(tensor: Tensor) -> tuple[Tensor, Tensor]:
            kept = tensor.clone()
            return kept, kept.clone()

        with capturing(problem, self.layer, len(rows), split) as found:
            score = Input().score(problem, z, rows)
        unit = tuple(found)
        if not (score.requires_grad and any(leaf.requires_grad for leaf in unit)):
            return score
        slopes = torch.autograd.grad(score.sum(), unit, retain_graph=True, allow_unused=True)
        flow = self.unit(
            tuple(
                (torch.zeros_like(leaf) if slope is None else slope.detach()) * leaf
                for leaf, slope in zip(unit, slopes, strict=True)
            )
        )
        return score.detach() + flow - flow.detach()
