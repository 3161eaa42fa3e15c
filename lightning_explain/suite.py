"""What is done at a validation: explain the probe set with every method, and score the result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import torch
from torch import Tensor, nn

from lightning_explain.attribution.attribution import Attribution
from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.engine import Explainer, explainer, outputs, parse, pose
from lightning_explain.attribution.features import FeatureSpace
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.methods import Method
from lightning_explain.attribution.model import Forward, call
from lightning_explain.attribution.place import Place
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.target import probability_readout, resolve_target
from lightning_explain.examination import Examination, Explained, Maps
from lightning_explain.inputs import Inputs, is_continuous, leaves, rebuild
from lightning_explain.metrics import METRICS, AttributionMetric, Score
from lightning_explain.metrics.evaluation import Evaluation, RandomEvaluation
from lightning_explain.metrics.localisation import RegionMetric
from lightning_explain.metrics.mprt import MPRT, randomised
from lightning_explain.metrics.perturbation import Perturbations
from lightning_explain.probe import ProbeSet

MethodSpec: TypeAlias = str | Method | tuple[str | Method, Place]
MetricSpec: TypeAlias = str | AttributionMetric


@dataclass
class Suite:
    """Methods and metrics for one probe set.

    Args:
        probe: The samples.
        methods: Names, methods, or pairs of one with a place.
        metrics: Names or metrics.
        forward: How the model is called.
        budget: How many rows go through the model at once.
        seed: Where the random removals, yardsticks and parameters begin.

    Raises:
        ValueError: If a name is unknown, or stands there twice, or there is no method or no metric.
    """

    probe: ProbeSet
    methods: Sequence[MethodSpec]
    metrics: Sequence[MetricSpec]
    forward: Forward = call
    budget: RowBudget = field(default_factory=RowBudget)
    seed: int = 0
    explainers: tuple[Explainer, ...] = field(default=(), init=False)
    _spaces: dict[str, Place] = field(default_factory=dict, init=False, repr=False)
    _random_maps: dict[str, tuple[Tensor | None, Tensor]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for what, listed in (("methods", self.methods), ("metrics", self.metrics)):
            if isinstance(listed, str):
                raise TypeError(f"{what} is a list of names, got {listed!r}; write [{listed!r}].")
        self._methods = [_method(spec) for spec in self.methods]
        self._metrics = [self._metric(spec) for spec in self.metrics]
        for what, given in (("method", self._methods), ("metric", self._metrics)):
            if not given:
                raise ValueError(f"Give at least one {what}.")
        names = [metric.name for metric in self._metrics]
        if len(set(names)) < len(names):
            raise ValueError(f"Every metric can be there once, got {names}.")
        for metric in self._metrics:
            if isinstance(metric, RegionMetric):
                _check_region(metric, self.probe)

    def prepare(self, model: nn.Module) -> None:
        """Try every method on a sample, so that what is wrong is said before the training begins.

        Raises:
            ValueError: If a method, layer or target does not fit the model.
        """
        sample = self.probe.sample(0)
        with borrowed(model, self.seed):
            problem = self._pose(model, sample, _in_dtype_of(model, sample.inputs))
            # The model may still be on the CPU: what is learnt of memory and speed here is forgotten.
            problem = replace(problem, budget=RowBudget(self.budget.max_rows))
            given = outputs(problem)
            resolve_target(self.probe.target, given.expand(len(self.probe), *given.shape[1:]), self.probe.label)
            explainers = tuple(explainer(method, problem, place) for method, place in self._methods)
            names = [chosen.name for chosen in explainers]
            if len(set(names)) < len(names):
                raise ValueError(f"Every method can be at a place once, got {', '.join(names)}.")
            # A coarse map comes to live at the input, if it could be upsampled.
            self._spaces = {chosen.name: chosen(problem).place for chosen in explainers}
        self.explainers = explainers
        self._random_maps.clear()  # they belong to one architecture
        self._require_different_places()
        self._require_use()

    def score_names(self, prefix: str) -> tuple[str, ...]:
        """The full names of all scores that will exist.

        Returns:
            Names, ``prefix/method/metric``.
        """
        own = [f"{prefix}/{e.name}/{m.name}" for e in self.explainers for m in self._applying(e)]
        random = [f"{prefix}/random{place}/{m.name}" for place in self._places() for m in self._yardsticks()]
        return (*own, *random)

    def measures(self, metric: str) -> bool:
        """Whether a metric is among those of the suite.

        Returns:
            True if it is.
        """
        return any(chosen.name == metric for chosen in self._metrics)

    def explain(self, model: nn.Module, inputs: Inputs | None = None) -> Maps:
        """Explain the probe set without scoring it.

        Args:
            model: The module.
            inputs: The probe set's inputs, in the dtype that the model wants.

        Returns:
            The attributions of the features.
        """
        with borrowed(model, self.seed):
            problem = self._pose(model, self.probe, inputs)
            return {chosen.name: self._features(chosen, problem, chosen(problem)).cpu() for chosen in self.explainers}

    def run(self, model: nn.Module, inputs: Inputs | None = None, previous: Maps | None = None) -> Examination:
        """Explain the probe set and score it. The model is left exactly as it was.

        Args:
            model: The module.
            inputs: The probe set's inputs, in the dtype that the model wants; None: as they are.
            previous: The attributions at the validation before.

        Returns:
            Attributions and scores.
        """
        with borrowed(model, self.seed):
            problem = self._pose(model, self.probe, inputs)
            readout = probability_readout(outputs(problem), problem.target)
            perturbations = {
                str(place): Perturbations(replace(problem, place=place), readout, seed=self.seed)
                for place in self._places()
            }
            explained = tuple(
                self._explain(
                    chosen, problem, perturbations[str(self._spaces[chosen.name])], (previous or {}).get(chosen.name)
                )
                for chosen in self.explainers
            )
            yardstick = {
                f"random{place}": _score(self._yardsticks(), RandomEvaluation(removals, self.seed))
                for place, removals in perturbations.items()
            }
        return Examination(explained, {name: scores for name, scores in yardstick.items() if scores})

    def _explain(
        self, chosen: Explainer, problem: Problem, perturbations: Perturbations, previous: Tensor | None
    ) -> Explained:
        metrics = list(self._applying(chosen))
        evaluation = Evaluation(
            explainer=chosen,
            problem=problem,
            attribution=chosen(problem),
            perturbations=perturbations,
            mask=self._mask(perturbations.features, problem),
            previous=previous,
            randomised=self._randomised(chosen, problem) if any(isinstance(m, MPRT) for m in metrics) else None,
        )
        scores = _score(metrics, evaluation)
        return Explained(chosen.name, _on_cpu(evaluation.attribution), evaluation.scores.cpu(), scores)

    def _randomised(self, chosen: Explainer, problem: Problem) -> Tensor:
        target, maps = self._random_maps.get(chosen.name, (None, None))
        if maps is None or not _same(target, problem.target):  # a predicted target changes as the model learns
            with randomised(problem.model, self.seed):
                attribution = chosen(replace(problem))  # a copy: what the problem remembers is of the true model
            maps = self._features(chosen, problem, attribution).cpu()
            self._random_maps[chosen.name] = problem.target, maps
        return maps

    def _pose(self, model: nn.Module, probe: ProbeSet, inputs: Inputs | None) -> Problem:
        return pose(
            model,
            probe.inputs if inputs is None else inputs,
            probe.target,
            baseline=probe.baseline,
            label=probe.label,
            forward=self.forward,
            feature_mask=probe.feature_mask,
            budget=self.budget,
        )

    def _features(self, chosen: Explainer, problem: Problem, attribution: Attribution) -> Tensor:
        at = replace(problem, place=self._spaces[chosen.name])
        return FeatureSpace.of(at.z, at.place.channel_dim).gather(attribution.point)

    def _mask(self, features: FeatureSpace, problem: Problem) -> Tensor | None:
        mask = self.probe.mask
        point = problem.z
        if mask is None or features.shapes != tuple(tuple(leaf.shape[1:]) for leaf in point):
            return None
        laid = mask.to(point[0].device)
        laid = laid.unsqueeze(1) if point[0].ndim > laid.ndim else laid
        marked = [laid.expand_as(point[0]).float(), *(torch.zeros_like(leaf) for leaf in point[1:])]
        return features.gather(tuple(marked)) > 0

    def _metric(self, spec: MetricSpec) -> AttributionMetric:
        if isinstance(spec, AttributionMetric):
            return spec
        if not isinstance(spec, str):
            raise TypeError(f"A metric is a name or an AttributionMetric such as Infidelity(), got {spec!r}.")
        try:
            chosen = METRICS[spec]
        except KeyError as error:
            raise ValueError(error.args[0]) from None
        # Every rank scores the whole probe set: gathering would count each sample once for every rank.
        if issubclass(chosen, RegionMetric):
            return chosen(artefact=self.probe.region == "artefact", sync_on_compute=False)
        return chosen(sync_on_compute=False)

    def _applying(self, chosen: Explainer) -> Iterator[AttributionMetric]:
        return (
            metric
            for metric in self._metrics
            if metric.missing(chosen.method, self._spaces[chosen.name], self.probe) is None
        )

    def _yardsticks(self) -> list[AttributionMetric]:
        return [metric for metric in self._metrics if metric.yardstick]

    def _places(self) -> list[Place]:
        return list({str(place): place for place in self._spaces.values()}.values())

    def _require_different_places(self) -> None:
        for place in self._spaces.values():
            same = [other for other in self._spaces.values() if str(other) == str(place) and other != place]
            if same:
                raise ValueError(
                    f"{place!r} and {same[0]!r} would be logged under the same name, 'random{place}'; give one of"
                    " them a monitor of its own."
                )

    def _require_use(self) -> None:
        for metric in self._metrics:
            reasons = [
                metric.missing(chosen.method, self._spaces[chosen.name], self.probe) for chosen in self.explainers
            ]
            if all(reasons):
                raise ValueError(f"The metric {metric.name!r} applies to no method: {'; '.join(map(str, reasons))}.")


def _method(spec: MethodSpec) -> tuple[Method, Place | None]:
    method, place = spec if isinstance(spec, tuple) else (spec, None)
    chosen, named = parse(method)
    return chosen, place or named


def _check_region(metric: RegionMetric, probe: ProbeSet) -> None:
    if probe.mask is None:
        raise ValueError(f"The metric {metric.name!r} needs a mask; pass mask= to the probe set.")
    if metric.artefact != (probe.region == "artefact"):
        raise ValueError(
            f"The probe set's mask marks an {probe.region!r}, but the metric {metric.name!r} has"
            f" artefact={metric.artefact}; one of them has the wrong direction."
        )


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b if a is None or b is None else torch.equal(a, b.to(a.device))


def _score(metrics: Sequence[AttributionMetric], evaluation: Evaluation | RandomEvaluation) -> dict[str, Score]:
    scores = {}
    for metric in metrics:
        metric.reset()
        metric.update(evaluation)
        scores[metric.name] = metric.score()
    return scores


def _in_dtype_of(model: nn.Module, inputs: Inputs) -> Inputs:
    floating = next((p.dtype for p in model.parameters() if is_continuous(p)), torch.float32)
    return rebuild(inputs, tuple(leaf.to(floating) if is_continuous(leaf) else leaf for leaf in leaves(inputs)))


def _on_cpu(attribution: Attribution) -> Attribution:
    return replace(
        attribution,
        point=tuple(leaf.float().cpu() for leaf in attribution.point),
        outputs=attribution.outputs.float().cpu(),
        target=None if attribution.target is None else attribution.target.cpu(),
        coefficients=None if attribution.coefficients is None else attribution.coefficients.float().cpu(),
    )
