"""Judging a finished checkpoint by the gate that would have let it through."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn

from lightning_explain.attribution.model import Forward, call
from lightning_explain.callback import CHECKPOINT_KEY
from lightning_explain.evaluate import evaluate
from lightning_explain.evidence import value_of
from lightning_explain.examination import Examination
from lightning_explain.gate import Gate, History, Verdict
from lightning_explain.metrics import METRICS, Score
from lightning_explain.probe import ProbeSet
from lightning_explain.registry import unknown
from lightning_explain.specs import MethodSpec, MetricSpec


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Args:
        verdict: The gate's answer.
        examination: Attributions and scores of the probe set.
        scores: Every score by the name that the gate knows it by.
    """

    verdict: Verdict
    examination: Examination
    scores: Mapping[str, Score]

    def to_dict(self) -> dict[str, object]:
        """Verdict and scores as plain values.

        Returns:
            A dictionary that strict JSON can hold: a number that is not finite becomes None.
        """
        plain = {name: {key: _finite(value) for key, value in asdict(s).items()} for name, s in self.scores.items()}
        for of in plain.values():
            of["per_sample"] = [_finite(value) for value in of["per_sample"]]
        return {"verdict": self.verdict.to_dict(), "scores": plain}


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
    best: Mapping[str, float] | None = None,
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
        best: The best value of each score so far, for conditions on ``best``.

    Returns:
        The verdict, with everything that it rests on.

    Raises:
        ValueError: If the gate cannot be read, names a score that will not exist (the message lists the known ones), or
            asks for a best value that nobody knows.
    """
    parsed = Gate.parse(gate)
    asked = list(dict.fromkeys(condition.score for condition in parsed.conditions))
    named = [_parts(score, name) for score in asked]
    _require_best(parsed, best or {})
    examination = evaluate(
        model,
        probe,
        list(dict.fromkeys(method for method, _ in named)) if methods is None else methods,
        list(dict.fromkeys(metric for _, metric in named)) if metrics is None else metrics,
        forward=forward,
        max_rows=max_rows,
        seed=seed,
    )
    label = probe.label if any("/class_" in score for score in asked) else None
    scores, yardsticks = examination.scores(name, label), examination.yardsticks(name, label)
    directions = {score: of.higher_is_better for score, of in scores.items()}
    parsed.check(scores, yardsticks=yardsticks, directions=directions)
    verdict = parsed.judge(
        {score: value_of(of) for score, of in scores.items()},
        step=step,
        validation=1,
        yardsticks=yardsticks,
        history=History(best or {}),
    )
    return Audit(verdict, examination, scores)


def table(found: Audit) -> str:
    """The scores of an audit, one in a row, and the verdict beneath.

    Returns:
        Text for a terminal.
    """
    head = ("score", "mean", "95 % interval", "n", "skill")
    rows = [head, *(_row(name, score) for name, score in found.scores.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return "\n".join([*lines, "", found.verdict.sentence])


@dataclass(frozen=True)
class Checkpoint:
    """What is read of a checkpoint.

    Args:
        model: The module, with the checkpoint's weights.
        step: The training step at which it was saved.
        best: The best values that the run's gates knew of.
    """

    model: LightningModule
    step: int
    best: Mapping[str, float]


def load_checkpoint(checkpoint: Path, module: str | None = None, *, trust: bool = False) -> Checkpoint:
    """Load a Lightning checkpoint on the CPU.

    Args:
        checkpoint: The file.
        module: The class, as ``package.module:Class``; None: the one that the monitor wrote into the checkpoint.
        trust: Unpickle whatever the file holds. It may run code: only for files of your own.

    Returns:
        The module, its step, and what the run's gates remembered.

    Raises:
        ValueError: If the file does not say which class it is of, and ``module`` does not either.
        TypeError: If that is no LightningModule.
    """
    kept = torch.load(checkpoint, map_location="cpu", weights_only=not trust)
    module = module or _written_module(kept)
    if module is None:
        raise ValueError(
            f"{checkpoint} does not say of which class it is (no AttributionMonitor watched that run); name it,"
            " package.module:Class."
        )
    cls = load_object(module)
    if not (inspect.isclass(cls) and issubclass(cls, LightningModule)):
        raise TypeError(f"{module} is no LightningModule.")
    known = inspect.signature(cls.load_from_checkpoint).parameters
    settings: dict[str, Any] = {"weights_only": not trust} if "weights_only" in known else {}  # Lightning 2.6 and later
    model = cls.load_from_checkpoint(checkpoint, map_location="cpu", **settings)
    return Checkpoint(model, int(kept.get("global_step", 0)), _written_best(kept))


def load_probe(source: str) -> ProbeSet:
    """Load a probe set from a file, or make it by a function.

    Args:
        source: A file that :meth:`ProbeSet.save` wrote, or ``package.module:function``; it is called without arguments.

    Returns:
        The probe set.

    Raises:
        TypeError: If what the function gives is no probe set.
    """
    if Path(source).exists() or ":" not in source:
        return ProbeSet.load(Path(source))
    made = load_object(source)
    probe = made() if callable(made) else made
    if not isinstance(probe, ProbeSet):
        raise TypeError(f"{source} gives {type(probe).__name__}; expected a ProbeSet.")
    return probe


def load_object(path: str) -> Any:  # noqa: ANN401
    """Import something by name.

    Args:
        path: ``package.module:name``; the current folder is searched too.

    Returns:
        The object.

    Raises:
        ValueError: If the path is written in another way, the module cannot be imported, or has no such name.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        raise ValueError(f"Expected package.module:name, got {path!r}.")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"Cannot import {path!r}: {error}.") from error
    return found


def _row(name: str, score: Score) -> tuple[str, ...]:
    n = f"{score.n} of {score.n + score.undefined}" if score.undefined else str(score.n)
    skill = "" if score.skill is None else f"{score.skill:.2f}"
    return name, f"{score.mean:.4g}", f"{score.low:.4g} … {score.high:.4g}", n, skill


def _finite(value: Any) -> Any:  # noqa: ANN401
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parts(score: str, name: str) -> tuple[str, str]:
    # attribution/<method>[@layer]/<metric>[/class_<label>]
    prefix, _, rest = score.partition("/")
    method, _, metric = rest.partition("/")
    metric = metric.split("/class_")[0]
    if prefix != name or not metric:
        raise ValueError(
            f"The gate asks for {score!r}; a checkpoint alone has scores {name}/<method>[@<layer>]/<metric>."
        )
    if metric not in METRICS:
        raise ValueError(unknown("metric", metric, METRICS))
    return method, metric


def _written_module(kept: Mapping[str, Any]) -> str | None:
    states = kept.get(CHECKPOINT_KEY, {}).values()
    return next((state["module"] for state in states if "module" in state), None)


def _written_best(kept: Mapping[str, Any]) -> dict[str, float]:
    states = [state for state in kept.get("callbacks", {}).values() if isinstance(state, Mapping)]
    return {score: value for state in states for score, value in (state.get("history") or {}).get("best", {}).items()}


def _require_best(gate: Gate, best: Mapping[str, float]) -> None:
    unknown_to_all = [c for c in gate.conditions if c.reference == "best" and c.score not in best]
    if unknown_to_all:
        raise ValueError(
            f"The gate compares with the best value so far, {unknown_to_all[0]}, and the checkpoint knows none: only a"
            " run whose own gate compared that score with its best writes it down. Compare with a number or 'random'."
        )
