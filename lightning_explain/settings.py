"""How explanations are made and scored, in words: what a run writes down, and an audit compares itself with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor
from torchmetrics import SumMetric

from lightning_explain.metrics import AttributionMetric
from lightning_explain.specs import parse_metric
from lightning_explain.suite import Suite

_DEFAULT_FORWARD = "lightning_explain.attribution.model:call"


@dataclass(frozen=True)
class Settings:
    """What the numbers depend on beside the model and the probe set.

    Args:
        methods: Each method, by the name that its scores have.
        metrics: Each metric, by its name.
        seed: Where the random removals, yardsticks and parameters begin.
        max_rows: The most rows that go through the model at once; None: chosen by measurement.
        forward: The function that calls the model, ``package.module:name``.
        replica: Which replica of the model is explained: ``"False"`` for none, ``"True"``, or its type.
    """

    methods: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    max_rows: int | None = None
    forward: str = _DEFAULT_FORWARD
    replica: str = "False"

    @classmethod
    def of(cls, suite: Suite) -> Settings:
        """The settings of a suite that is prepared.

        Returns:
            Its settings.
        """
        return cls(
            methods={chosen.name: _written(chosen.method) for chosen in suite.explainers},
            metrics={metric.name: _metric(metric) for metric in _metrics(suite)},
            seed=suite.seed,
            max_rows=suite.budget.max_rows,
            forward=_function(suite.forward),
            replica=str(suite.replica),
        )

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values.

        Returns:
            What a checkpoint, or JSON, can hold.
        """
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: object) -> Settings | None:
        """The settings that were saved, as far as they are what they should be: the file may be anybody's.

        Returns:
            The settings; None if there are none.
        """
        if not isinstance(saved, Mapping):
            return None
        return cls(
            methods=_texts(saved.get("methods")),
            metrics=_texts(saved.get("metrics")),
            seed=_whole(saved.get("seed"), 0) or 0,
            max_rows=_whole(saved.get("max_rows"), 1),
            forward=str(saved.get("forward", _DEFAULT_FORWARD)),
            replica=str(saved.get("replica", "False")),
        )

    def differences(self, run: Settings) -> Iterator[str]:
        """What was done in another way in a run.

        Args:
            run: The run's settings.

        Yields:
            Sentences; nothing where all that is used here was used in the run, set in the same way.
        """
        yield from _differing("method", self.methods, run.methods)
        yield from _differing("metric", self.metrics, run.metrics)
        if "agreement" in self.metrics and self.methods.keys() != run.methods.keys():
            yield f"The run's agreement is that of other methods, {', '.join(run.methods)}."
        if self.seed != run.seed:
            yield f"The run's seed was {run.seed}, here it is {self.seed}."
        if self.forward != run.forward:
            yield f"The run called the model by {run.forward}, here it is {self.forward}."
        if self.replica != run.replica:
            yield f"The run had replica={run.replica}, here it is {self.replica}."


def _differing(kind: str, here: Mapping[str, str], run: Mapping[str, str]) -> Iterator[str]:
    for name, setting in here.items():
        if name not in run:
            yield f"The run did not have the {kind} {name}; it had {', '.join(run) or 'none'}."
        elif run[name] != setting:
            yield f"The run had the {kind} {name} as {run[name]}, here it is {setting}."


def _metrics(suite: Suite) -> Iterator[AttributionMetric]:
    return (parse_metric(spec, suite.probe) for spec in suite.metrics)


def _metric(metric: AttributionMetric) -> str:
    # torchmetrics shows no settings; they are what the metric has beside its states and torchmetrics' own attributes.
    foreign = {*vars(SumMetric()), *metric.metric_state}
    own = {name: of for name, of in vars(metric).items() if name not in foreign and not name.startswith("_")}
    return f"{type(metric).__name__}({', '.join(f'{name}={_written(of)}' for name, of in sorted(own.items()))})"


def _written(setting: object) -> str:
    if isinstance(setting, Tensor):
        return f"tensor of shape {tuple(setting.shape)}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(setting))  # an address is another one in every process


def _function(forward: object) -> str:
    name = getattr(forward, "__qualname__", None)
    return _written(forward) if name is None else f"{getattr(forward, '__module__', '')}:{name}"


def _texts(saved: object) -> dict[str, str]:
    return {str(name): str(of) for name, of in saved.items()} if isinstance(saved, Mapping) else {}


def _whole(saved: object, least: int) -> int | None:
    return saved if isinstance(saved, int) and not isinstance(saved, bool) and saved >= least else None
