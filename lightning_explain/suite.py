"""What is done at a validation: explain the probe set with every method, and score the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from lightning_explain.attribution.attribution import Attribution
from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.engine import Explainer, explainer, pose
from lightning_explain.attribution.features import FeatureSpace
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.model import Forward, call
from lightning_explain.attribution.place import Layer, Place
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.target import probability_readout, resolve_target
from lightning_explain.examination import Examination, Explained, Maps
from lightning_explain.inputs import Inputs, is_continuous, leaves, rebuild
from lightning_explain.metrics import AttributionMetric, Score
from lightning_explain.metrics.evaluation import Evaluation, RandomEvaluation
from lightning_explain.metrics.perturbation import Perturbations
from lightning_explain.metrics.randomisation.parameters import randomised
from lightning_explain.names import class_name, random_lines
from lightning_explain.probe import ProbeSet
from lightning_explain.specs import MethodSpec, MetricSpec, parse_method, parse_metric


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
        self._methods = [parse_method(spec) for spec in self.methods]
        self._metrics = [parse_metric(spec, self.probe) for spec in self.metrics]
        for what, given in (("method", self._methods), ("metric", self._metrics)):
            if not given:
                raise ValueError(f"Give at least one {what}.")
        names = [metric.name for metric in self._metrics]
        if len(set(names)) < len(names):
            raise ValueError(f"Every metric can be there once, got {names}.")

    def prepare(self, model: nn.Module) -> None:
        """Try every method on a sample, so that what is wrong is said before the training begins.

        Raises:
            ValueError: If a method, layer or target does not fit the model.
        """
        sample = self.probe.sample(0)
        with borrowed(model, self.seed):
            problem = self._pose(model, sample, None)
            # The model may still be on the CPU: what is learnt of memory and speed here is forgotten.
            problem = replace(problem, budget=RowBudget(self.budget.max_rows))
            given = problem.outputs
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

    def score_names(self, prefix: str, *, per_class: bool = False) -> tuple[str, ...]:
        """The full names of all scores that will exist.

        Args:
            prefix: What they begin with.
            per_class: Whether there are scores of each class's samples too.

        Returns:
            Names, ``prefix/method/metric`` and ``prefix/method/metric/class_<label>``.
        """
        own = [f"{prefix}/{e.name}/{m.name}" for e in self.explainers for m in self._applying(e)]
        random = [f"{prefix}/random{place}/{m.name}" for place in self._places() for m in self._yardsticks(place)]
        classes = self._classes() if per_class else []
        return (*own, *random, *(class_name(name, c) for c in classes for name in (*own, *random)))

    def yardsticks(self, prefix: str, *, per_class: bool = False) -> dict[str, str]:
        """The random line of every score that has one: random attributions of the same samples, where its own live.

        Args:
            prefix: What the names begin with.
            per_class: Whether there are scores of each class's samples too.

        Returns:
            ``prefix/random[@layer]/metric`` by ``prefix/method/metric``. A map that is upsampled lives at the input.
        """
        scored = (
            (e.name, str(self._spaces[e.name]), m.name)
            for e in self.explainers
            for m in self._applying(e)
            if m.yardstick
        )
        return random_lines(prefix, scored, self._classes() if per_class else [])

    def directions(self, prefix: str, *, per_class: bool = False) -> dict[str, bool | None]:
        """Whether higher is better, for every score.

        Args:
            prefix: What the names begin with.
            per_class: Whether there are scores of each class's samples too.

        Returns:
            The direction by full name; None if the score has none.
        """
        of = {metric.name: metric.higher_is_better for metric in self._metrics}
        names = self.score_names(prefix, per_class=per_class)
        return {name: of[name.removeprefix(f"{prefix}/").split("/")[1]] for name in names}

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
            inputs: As for :meth:`run`.

        Returns:
            The attributions of the features.
        """
        with borrowed(model, self.seed):
            problem = self._pose(model, self.probe, inputs)
            return {chosen.name: self._features(chosen, problem, chosen(problem)).cpu() for chosen in self.explainers}

    def run(
        self,
        model: nn.Module,
        inputs: Inputs | None = None,
        previous: Maps | None = None,
        best: Maps | None = None,
    ) -> Examination:
        """Explain the probe set and score it. The model is left exactly as it was.

        Args:
            model: The module.
            inputs: The probe set's inputs, in the dtype that the model wants; None: in that of its parameters.
            previous: The attributions at the validation before.
            best: The attributions at the best validation so far.

        Returns:
            Attributions and scores.
        """
        with borrowed(model, self.seed):
            problem = self._pose(model, self.probe, inputs)
            readout = probability_readout(problem.outputs, problem.target)
            # One problem for each place: methods and metrics share what it remembers.
            problems = {str(place): problem.at(place) for place in self._every_place()}
            attributions = {e.name: e(problems[str(e.place)]) for e in self.explainers}
            judged = {
                str(place): Perturbations(problems[str(place)], readout, seed=self.seed) for place in self._places()
            }
            yardsticks = {f"random{place}": self._yardstick(removals) for place, removals in judged.items()}
            maps = {
                e.name: judged[str(self._spaces[e.name])].features.gather(attributions[e.name].point)
                for e in self.explainers
            }
            explained = tuple(
                self._explained(
                    Evaluation(
                        explainer=chosen,
                        problem=problems[str(chosen.place)],
                        attribution=attributions[chosen.name],
                        perturbations=judged[str(self._spaces[chosen.name])],
                        mask=self._mask(judged[str(self._spaces[chosen.name])]),
                        label=self.probe.label,
                        previous=(previous or {}).get(chosen.name),
                        best=(best or {}).get(chosen.name),
                        randomised=self._randomised(chosen, problems[str(chosen.place)]),
                        others=self._others(chosen, maps),
                    ),
                    yardsticks[f"random{self._spaces[chosen.name]}"],
                )
                for chosen in self.explainers
            )
        return Examination(explained, {name: scores for name, scores in yardsticks.items() if scores})

    def _explained(self, evaluation: Evaluation, yardstick: Mapping[str, Score]) -> Explained:
        chosen, readout = evaluation.explainer, evaluation.perturbations.readout
        metrics = list(self._applying(chosen))
        scores = _score(metrics, evaluation)
        for metric in metrics:
            if metric.name in yardstick:
                scores[metric.name] = scores[metric.name].against(yardstick[metric.name], metric.perfect(readout))
        space = str(self._spaces[chosen.name])
        return Explained(chosen.name, _on_cpu(evaluation.attribution), evaluation.scores.cpu(), scores, space)

    def _yardstick(self, removals: Perturbations) -> dict[str, Score]:
        metrics = self._yardsticks(removals.problem.place)
        return _score(metrics, RandomEvaluation(removals, self._mask(removals), self.seed))

    def _others(self, chosen: Explainer, maps: Maps) -> Maps:
        here = str(self._spaces[chosen.name])
        return {name: of for name, of in maps.items() if name != chosen.name and str(self._spaces[name]) == here}

    def _randomised(self, chosen: Explainer, problem: Problem) -> Tensor | None:
        if not any(metric.randomises for metric in self._applying(chosen)):
            return None
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
            _in_dtype_of(model, probe.inputs) if inputs is None else inputs,
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

    def _mask(self, removals: Perturbations) -> Tensor | None:
        mask, features, point = self.probe.mask, removals.features, removals.problem.z
        if mask is None or isinstance(removals.problem.place, Layer):
            return None
        laid = mask.to(point[0].device)
        laid = laid.unsqueeze(1) if point[0].ndim > laid.ndim else laid
        marked = [laid.expand_as(point[0]).float(), *(torch.zeros_like(leaf) for leaf in point[1:])]
        return features.gather(tuple(marked)) > 0

    def _applying(self, chosen: Explainer) -> Iterator[AttributionMetric]:
        return (
            metric
            for metric in self._metrics
            if metric.missing(chosen.method, self._spaces[chosen.name], self.probe) is None
        )

    def _yardsticks(self, place: Place) -> list[AttributionMetric]:
        living = [chosen for chosen in self.explainers if str(self._spaces[chosen.name]) == str(place)]
        applying = {metric.name for chosen in living for metric in self._applying(chosen)}
        return [metric for metric in self._metrics if metric.yardstick and metric.name in applying]

    def _classes(self) -> list[int]:
        return [] if self.probe.label is None else [int(c) for c in self.probe.label.unique()]

    def _every_place(self) -> list[Place]:
        places = [*(chosen.place for chosen in self.explainers), *self._spaces.values()]
        return list({str(place): place for place in places}.values())

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


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b if a is None or b is None else torch.equal(a, b.to(a.device))


def _score(metrics: Sequence[AttributionMetric], evaluation: Evaluation | RandomEvaluation) -> dict[str, Score]:
    scores = {}
    for metric in metrics:
        metric.reset()
        metric.update(evaluation)
        scores[metric.name] = metric.score(synced=False)  # every process explains the whole probe set
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
