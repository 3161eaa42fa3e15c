"""Methods and metrics for one probe set, tried on a model once and run at every validation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.engine import Explainer, explainer, pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.model import Forward, call
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.replication import Replicating, dropped, replicated, require_replicating
from lightning_explain.attribution.target import resolve_target
from lightning_explain.examination import Examination, Maps
from lightning_explain.examiner import Examiner, RandomMaps, features_of
from lightning_explain.inputs import Inputs, is_continuous, leaves, rebuild
from lightning_explain.plan import Plan
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
        replica: Whether a cheaper replica of the model is explained, as for
            :func:`~lightning_explain.attribution.engine.explain`; it is made and tried anew every time.

    Raises:
        ValueError: If a name is unknown, or stands there twice, or there is no method or no metric.
    """

    probe: ProbeSet
    methods: Sequence[MethodSpec]
    metrics: Sequence[MetricSpec]
    forward: Forward = call
    budget: RowBudget = field(default_factory=RowBudget)
    seed: int = 0
    replica: Replicating = False
    _dropped: bool = field(default=False, init=False, repr=False)
    _random_maps: RandomMaps = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        require_replicating(self.replica)
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
        self._plan = Plan(self.probe, tuple(self._metrics), (), {})

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
            spaces = {chosen.name: chosen(problem).place for chosen in explainers}
            self._plan = replace(self._plan, explainers=explainers, spaces=spaces)
            self._plan.require_sense()
            for metric in self._plan.metrics:
                metric.check(problem)
        self._random_maps.clear()  # they belong to one architecture

    @property
    def explainers(self) -> tuple[Explainer, ...]:
        """The methods at their places; none before :meth:`prepare`."""
        return self._plan.explainers

    def score_names(self, prefix: str, *, per_class: bool = False) -> tuple[str, ...]:
        """The full names of all scores that will exist, see :meth:`Plan.score_names`.

        Returns:
            Names, ``prefix/method/metric`` and ``prefix/method/metric/class_<label>``.
        """
        return self._plan.score_names(prefix, per_class=per_class)

    def yardsticks(self, prefix: str, *, per_class: bool = False) -> dict[str, str]:
        """The random line of every score that has one, see :meth:`Plan.yardsticks`.

        Returns:
            ``prefix/random[@layer]/metric`` by ``prefix/method/metric``.
        """
        return self._plan.yardsticks(prefix, per_class=per_class)

    def directions(self, prefix: str, *, per_class: bool = False) -> dict[str, bool | None]:
        """Whether higher is better, for every score, see :meth:`Plan.directions`.

        Returns:
            The direction by full name; None if the score has none.
        """
        return self._plan.directions(prefix, per_class=per_class)

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
            problem = self._replicated(self._pose(model, self.probe, inputs))
            spaces = self._plan.spaces
            return {
                chosen.name: features_of(replace(problem, place=spaces[chosen.name]), chosen(problem)).cpu()
                for chosen in self.explainers
            }

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
            problem = self._replicated(self._pose(model, self.probe, inputs))
            examiner = Examiner(self._plan, problem, self.seed, self._random_maps, previous or {}, best or {})
            return examiner.examine()

    def _replicated(self, problem: Problem) -> Problem:
        asked, reason = replicated(problem, self.replica)
        if reason is not None and not self._dropped:
            self._dropped = True
            warnings.warn(dropped(reason), stacklevel=3)
        return asked

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


def _in_dtype_of(model: nn.Module, inputs: Inputs) -> Inputs:
    floating = next((p.dtype for p in model.parameters() if is_continuous(p)), torch.float32)
    return rebuild(inputs, tuple(leaf.to(floating) if is_continuous(leaf) else leaf for leaf in leaves(inputs)))
