"""Judging a trained model by the gate that would have let it through."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.model import Forward, call
from lightning_explain.auditing.answerable import asked_by
from lightning_explain.evidence import value_of
from lightning_explain.examination import Examination
from lightning_explain.gate import Gate, History, Verdict
from lightning_explain.inputs import leaves
from lightning_explain.metrics import Score
from lightning_explain.probe import ProbeSet
from lightning_explain.settings import Settings
from lightning_explain.specs import MethodSpec, MetricSpec
from lightning_explain.suite import Suite


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Args:
        verdict: The gate's answer.
        examination: Attributions and scores of the probe set.
        scores: Every score by the name that the gate knows it by.
        settings: How the model was explained and scored.
    """

    verdict: Verdict
    examination: Examination
    scores: Mapping[str, Score]
    settings: Settings

    def to_dict(self) -> dict[str, object]:
        """Verdict, scores and settings as plain values.

        Returns:
            A dictionary that strict JSON can hold: a number that is not finite becomes None.
        """
        plain = {name: {key: _finite(value) for key, value in asdict(s).items()} for name, s in self.scores.items()}
        for of in plain.values():
            of["per_sample"] = [_finite(value) for value in of["per_sample"]]
        return {"verdict": self.verdict.to_dict(), "scores": plain, "settings": self.settings.to_dict()}


def audit(  # noqa: PLR0913  (the whole question in one call)
    model: nn.Module,
    probe: ProbeSet,
    gate: str | Sequence[str],
    *,
    methods: Sequence[MethodSpec] | None = None,
    metrics: Sequence[MetricSpec] | None = None,
    name: str = "attribution",
    forward: Forward = call,
    max_rows: int | None = None,
    seed: int = 0,
    step: int = 0,
    history: History | None = None,
) -> Audit:
    """Explain a trained model, score the explanations, and judge them.

    Args:
        model: Any module; it is left as it was.
        probe: The samples.
        gate: Conditions, as for :class:`~lightning_explain.AttributionCheckpoint`, on scores alone.
        methods: What explains; None: the methods that the gate names.
        metrics: What is scored; None: the metrics that the gate names.
        name: What the scores' names begin with in the gate.
        forward: How to call the model, ``(model, inputs) -> outputs``.
        max_rows: The most rows that go through the model at once; None: chosen by measurement.
        seed: Where the random removals, yardsticks and parameters begin.
        step: The training step that the model is of, for the verdict's sentence.
        history: What is known of earlier validations, for ``best`` and ``for N validations``.

    Returns:
        The verdict, with everything that it rests on.

    Raises:
        ValueError: If the gate cannot be read, names a score that will not exist (the message lists the known ones), or
            asks for what nobody knows; or the model cannot be run on the probe set.
    """
    parsed, history = Gate.parse(gate), history or History()
    asked = asked_by(parsed, name, history)
    chosen = (asked.methods if methods is None else methods, asked.metrics if metrics is None else metrics)
    suite = Suite(probe, *chosen, forward, RowBudget(max_rows), seed)
    _prepare(suite, model)
    if methods is None:
        _require_whole_names(asked.methods, suite, name)
    parsed.check(
        suite.score_names(name, per_class=asked.per_class),
        yardsticks=suite.yardsticks(name, per_class=asked.per_class),
        directions=suite.directions(name, per_class=asked.per_class),
    )
    examination = suite.run(model)
    label = probe.label if asked.per_class else None
    scores = examination.scores(name, label)
    verdict = parsed.judge(
        {score: value_of(of) for score, of in scores.items()},
        step=step,
        validation=1,
        yardsticks=examination.yardsticks(name, label),
        history=history,
    )
    return Audit(verdict, examination, scores, Settings.of(suite))


def _prepare(suite: Suite, model: nn.Module) -> None:
    try:
        suite.prepare(model)
    except RuntimeError as error:
        shapes = [tuple(leaf.shape) for leaf in leaves(suite.probe.inputs)]
        raise ValueError(
            f"The model cannot be run on the probe set, whose inputs have shapes {shapes}: {error}"
        ) from error


def _require_whole_names(methods: Sequence[str], suite: Suite, name: str) -> None:
    for method, chosen in zip(methods, suite.explainers, strict=True):
        if method != chosen.name:
            raise ValueError(
                f"{method} explains at a layer, which is part of its scores' names: ask for"
                f" {name}/{chosen.name}/<metric>, or for another layer."
            )


def _finite(value: Any) -> Any:  # noqa: ANN401
    return None if isinstance(value, float) and not math.isfinite(value) else value
