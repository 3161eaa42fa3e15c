"""What a metric may look at: one method's attributions, and all that they are measured against."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lightning_explain.attribution.attribution import Attribution
from lightning_explain.attribution.engine import Explainer
from lightning_explain.attribution.problem import Problem
from lightning_explain.metrics.degenerate import is_degenerate
from lightning_explain.metrics.perturbation import Perturbations
from lightning_explain.randomness import stream


@dataclass(frozen=True)
class Evaluation:
    """One method's attributions of the probe set, ready to be scored.

    Args:
        explainer: The method at its place.
        problem: What it explained.
        attribution: What it gave.
        perturbations: Removals at the place where the attributions live.
        mask: The region of interest (n, D), True inside; None if there is none.
        previous: Attributions of the features (n, D) at the validation before.
        randomised: Attributions of the features (n, D) of the model with random parameters.
    """

    explainer: Explainer
    problem: Problem
    attribution: Attribution
    perturbations: Perturbations
    mask: Tensor | None = None
    previous: Tensor | None = None
    randomised: Tensor | None = None

    @cached_property
    def scores(self) -> Tensor:
        """The attributions of the features (n, D), summed over channels."""
        return self.perturbations.features.gather(self.attribution.point)

    @cached_property
    def contributions(self) -> Tensor:
        """What the attributions say each feature adds to the score, (n, D).

        Sensitivities (score per unit of z) are multiplied with the difference to the baseline.
        """
        if self.explainer.method.per_feature:
            features = self.explainer.at_place(self.problem).features
            return self.perturbations.features.gather(features.shared_out(self.attribution.point))
        if self.explainer.method.contributes:
            return self.scores
        problem = self.perturbations.problem
        product = tuple(
            leaf * (z - z0) for leaf, z, z0 in zip(self.attribution.point, problem.z, problem.z0, strict=True)
        )
        return self.perturbations.features.gather(product)

    @cached_property
    def curves(self) -> tuple[Tensor, Tensor]:
        """The deletion and the insertion curve, (n, points) each; NaN for maps that order nothing."""
        void = is_degenerate(self.scores)[:, None] > 0
        deletion, insertion = self.perturbations.curves(self.scores)
        return deletion.masked_fill(void, torch.nan), insertion.masked_fill(void, torch.nan)


@dataclass(frozen=True)
class RandomEvaluation:
    """The yardstick: random attributions of the same samples, measured against the same removals.

    Args:
        perturbations: The removals.
        seed: Where the random numbers begin; they are the same at every validation.
    """

    perturbations: Perturbations
    seed: int = 0

    @cached_property
    def scores(self) -> Tensor:
        """Independent normal numbers (n, D)."""
        problem, count = self.perturbations.problem, self.perturbations.features.count
        generator = stream("attributions", self.seed)
        drawn = torch.randn(problem.samples, count, generator=generator, dtype=torch.float32)
        return drawn.to(problem.z[0].device)

    @property
    def contributions(self) -> Tensor:
        """The same numbers: nothing says that they are sensitivities."""
        return self.scores

    @cached_property
    def curves(self) -> tuple[Tensor, Tensor]:
        """The deletion and the insertion curve, (n, points) each."""
        return self.perturbations.curves(self.scores)
