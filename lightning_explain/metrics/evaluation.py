"""What a metric may look at: one method's attributions, and all that they are measured against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from lightning_explain.attribution.attribution import Attribution
from lightning_explain.attribution.engine import Explainer
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.remembering import Remembering
from lightning_explain.inputs import Point
from lightning_explain.metrics.complexity.degenerate import is_degenerate
from lightning_explain.metrics.perturbation import Course, Curve, Perturbations
from lightning_explain.randomness import stream


@dataclass(frozen=True)
class Evaluation(Remembering):
    """One method's attributions of the probe set, ready to be scored.

    Args:
        explainer: The method at its place.
        problem: What it explained, at its place.
        attribution: What it gave.
        perturbations: Removals at the place where the attributions live.
        mask: The region of interest (n, D), True inside; None if there is none.
        label: The class labels (n,); None if there are none.
        previous: Attributions of the features (n, D) at the validation before.
        best: Attributions of the features (n, D) at the best validation so far.
        randomised: Attributions of the features (n, D) of the model with random parameters.
        others: Attributions of the features (n, D) by the other methods whose maps live at the same place.
    """

    explainer: Explainer
    problem: Problem
    attribution: Attribution
    perturbations: Perturbations
    mask: Tensor | None = None
    label: Tensor | None = None
    previous: Tensor | None = None
    best: Tensor | None = None
    randomised: Tensor | None = None
    others: Mapping[str, Tensor] = field(default_factory=dict)

    @cached_property
    def scores(self) -> Tensor:
        """The attributions of the features (n, D), summed over channels."""
        return self.features(self.attribution.point)

    @cached_property
    def contributions(self) -> Tensor:
        """What the attributions say each feature adds to the score, (n, D).

        Sensitivities (score per unit of z) are multiplied with the difference to the baseline.
        """
        if self.explainer.method.per_feature:
            features = self.problem.features
            return self.perturbations.features.gather(features.shared_out(self.attribution.point))
        if self.explainer.method.contributes:
            return self.scores
        problem = self.perturbations.problem
        product = tuple(
            leaf * (z - z0) for leaf, z, z0 in zip(self.attribution.point, problem.z, problem.z0, strict=True)
        )
        return self.features(product)

    @cached_property
    def void(self) -> Tensor:
        """Whether each map says nothing, (n,) boolean: it orders nothing, and scores that need an order are NaN."""
        return is_degenerate(self.scores) > 0

    @cached_property
    def point(self) -> Point:
        """The attributions as the method gives them, a coarse map before it is upsampled; (n, ...) each."""
        return self.attribution.point if self.attribution.coarse is None else self.attribution.coarse

    def curve(self, course: Course) -> Curve:
        """The score while features go or come in the order of the attributions.

        Returns:
            The curve, computed once for each course; NaN for maps that order nothing.
        """

        def ordered() -> Curve:
            curve = self.perturbations.curve(self.scores, course)
            return replace(curve, values=curve.values.masked_fill(self.void[:, None], torch.nan))

        return self.remembered(course, ordered)

    def explain(self, problem: Problem) -> Point:
        """Explain something else, other inputs say, in the same way.

        Args:
            problem: The problem, at this evaluation's place.

        Returns:
            Attributions like :attr:`point`.
        """
        return tuple(leaf.detach() for leaf in self.explainer.method(problem))

    def features(self, point: Point) -> Tensor:
        """Sum attributions over channels.

        Args:
            point: Attributions of the shape of :attr:`attribution`'s.

        Returns:
            Attributions of the features (n, D).
        """
        return self.perturbations.features.gather(point)


@dataclass(frozen=True)
class RandomEvaluation(Remembering):
    """The yardstick: random attributions of the same samples, measured against the same removals.

    Args:
        perturbations: The removals.
        mask: The region of interest (n, D), True inside; None if there is none.
        seed: Where the random numbers begin; they are the same at every validation.
    """

    perturbations: Perturbations
    mask: Tensor | None = None
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
    def void(self) -> Tensor:
        """Whether each map says nothing: none does, unless there is one feature alone."""
        return is_degenerate(self.scores) > 0

    def curve(self, course: Course) -> Curve:
        """The score while features go or come in random order.

        Returns:
            The curve, computed once for each course.
        """
        return self.remembered(course, lambda: self.perturbations.curve(self.scores, course))
