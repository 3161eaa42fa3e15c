"""The work of one validation: explain the probe set with every method, and score the maps and random ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution.attribution import Attribution
from lightning_explain.attribution.engine import Explainer
from lightning_explain.attribution.feature_space import FeatureSpace
from lightning_explain.attribution.place import Layer
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.target import probability_readout
from lightning_explain.examination import Examination, Explained, Maps
from lightning_explain.metrics import AttributionMetric, Score
from lightning_explain.metrics.evaluation import Evaluation, RandomEvaluation
from lightning_explain.metrics.perturbation import Perturbations
from lightning_explain.metrics.randomisation.parameters import randomised
from lightning_explain.plan import Plan

RandomMaps: TypeAlias = dict[str, tuple[Tensor | None, Tensor]]
"""The targets that were explained, and the attributions of the model with random parameters, by explainer."""


@dataclass(frozen=True)
class Examiner:
    """Asks every method of a plan about a model, as it is at one validation.

    Args:
        plan: What is explained and scored.
        problem: The probe set posed to the model, at the input; the model is borrowed.
        seed: Where the random removals, yardsticks and parameters begin.
        random_maps: What is remembered of the model with random parameters; added to.
        previous: The attributions at the validation before.
        best: The attributions at the best validation so far.
    """

    plan: Plan
    problem: Problem
    seed: int = 0
    random_maps: RandomMaps = field(default_factory=dict)
    previous: Maps = field(default_factory=dict)
    best: Maps = field(default_factory=dict)

    def examine(self) -> Examination:
        """Do it.

        Returns:
            Attributions and scores.
        """
        # Explained first: the pass that gives a layer's gradient tells what the layer holds, too.
        evaluations = [self._evaluation(chosen) for chosen in self.plan.explainers]
        yardsticks = {f"random{place}": self._yardstick(removals) for place, removals in self._removals.items()}
        explained = tuple(
            self._explained(each, yardsticks[f"random{self.plan.spaces[each.explainer.name]}"]) for each in evaluations
        )
        return Examination(explained, {name: scores for name, scores in yardsticks.items() if scores})

    # One problem for each place: methods and metrics share what it remembers.
    @cached_property
    def _problems(self) -> Mapping[str, Problem]:
        return {str(place): self.problem.at(place) for place in self.plan.every_place}

    @cached_property
    def _removals(self) -> Mapping[str, Perturbations]:
        readout = probability_readout(self.problem.outputs, self.problem.target)
        return {
            str(place): Perturbations(self._problems[str(place)], readout, seed=self.seed) for place in self.plan.places
        }

    @cached_property
    def _attributions(self) -> Mapping[str, Attribution]:
        return {chosen.name: chosen(self._problems[str(chosen.place)]) for chosen in self.plan.explainers}

    @cached_property
    def _maps(self) -> Maps:
        return {
            name: self._removals[str(self.plan.spaces[name])].features.gather(attribution.point)
            for name, attribution in self._attributions.items()
        }

    def _evaluation(self, chosen: Explainer) -> Evaluation:
        problem, removals = self._problems[str(chosen.place)], self._removals[str(self.plan.spaces[chosen.name])]
        return Evaluation(
            explainer=chosen,
            problem=problem,
            attribution=self._attributions[chosen.name],
            perturbations=removals,
            mask=self._mask(removals),
            label=self.plan.probe.label,
            previous=self.previous.get(chosen.name),
            best=self.best.get(chosen.name),
            randomised=self._randomised(chosen, problem),
            others=self._others(chosen),
        )

    def _explained(self, evaluation: Evaluation, yardstick: Mapping[str, Score]) -> Explained:
        chosen, readout = evaluation.explainer, evaluation.perturbations.readout
        metrics = list(self.plan.applying(chosen))
        scores = _score(metrics, evaluation)
        for metric in metrics:
            if metric.name in yardstick:
                scores[metric.name] = scores[metric.name].against(yardstick[metric.name], metric.perfect(readout))
        space = str(self.plan.spaces[chosen.name])
        return Explained(chosen.name, _on_cpu(evaluation.attribution), evaluation.scores.cpu(), scores, space)

    def _yardstick(self, removals: Perturbations) -> dict[str, Score]:
        metrics = self.plan.yardsticks_at(removals.problem.place)
        return _score(metrics, RandomEvaluation(removals, self._mask(removals), self.seed))

    def _others(self, chosen: Explainer) -> Maps:
        spaces = {name: str(space) for name, space in self.plan.spaces.items()}
        here = spaces[chosen.name]
        return {name: of for name, of in self._maps.items() if name != chosen.name and spaces[name] == here}

    def _randomised(self, chosen: Explainer, problem: Problem) -> Tensor | None:
        if not any(metric.randomises for metric in self.plan.applying(chosen)):
            return None
        target, maps = self.random_maps.get(chosen.name, (None, None))
        if maps is None or not _same(target, problem.target):  # a predicted target changes as the model learns
            with randomised(problem.model, self.seed):
                attribution = chosen(problem.anew())  # what the problem remembers is of the true model
            maps = features_of(replace(problem, place=self.plan.spaces[chosen.name]), attribution).cpu()
            self.random_maps[chosen.name] = problem.target, maps
        return maps

    def _mask(self, removals: Perturbations) -> Tensor | None:
        mask, features, point = self.plan.probe.mask, removals.features, removals.problem.z
        if mask is None or isinstance(removals.problem.place, Layer):
            return None
        laid = mask.to(point[0].device)
        laid = laid.unsqueeze(1) if point[0].ndim > laid.ndim else laid
        marked = [laid.expand_as(point[0]).float(), *(torch.zeros_like(leaf) for leaf in point[1:])]
        return features.gather(tuple(marked)) > 0


def features_of(problem: Problem, attribution: Attribution) -> Tensor:
    """Sum attributions over what belongs to one feature.

    Args:
        problem: What was explained, at the place where the attributions live.
        attribution: The attributions.

    Returns:
        The attributions of the features (n, D).
    """
    return FeatureSpace.of(problem.z, problem.place.channel_dim).gather(attribution.point)


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b if a is None or b is None else torch.equal(a, b.to(a.device))


def _score(metrics: Sequence[AttributionMetric], evaluation: Evaluation | RandomEvaluation) -> dict[str, Score]:
    scores = {}
    for metric in metrics:
        metric.reset()
        metric.update(evaluation)
        scores[metric.name] = metric.score(synced=False)  # every process explains the whole probe set
    return scores


def _on_cpu(attribution: Attribution) -> Attribution:
    return replace(
        attribution,
        point=tuple(leaf.float().cpu() for leaf in attribution.point),
        outputs=attribution.outputs.float().cpu(),
        target=None if attribution.target is None else attribution.target.cpu(),
        coefficients=None if attribution.coefficients is None else attribution.coefficients.float().cpu(),
    )
