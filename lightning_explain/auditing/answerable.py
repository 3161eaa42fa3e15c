"""What a gate may ask of a checkpoint: less than of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lightning_explain.gate import Gate, History
from lightning_explain.gate.language import Condition, Expression, Lasting
from lightning_explain.metrics import METRICS
from lightning_explain.registry import unknown

_OF_A_RUN = {
    "drift": "the attributions at the validation before",
    "drift_from_best": "the attributions at the best validation",
}


@dataclass(frozen=True)
class Asked:
    """What has to be computed to judge a gate.

    Args:
        methods: Names, with their layers.
        metrics: Names.
        per_class: Whether a class's score is asked for.
    """

    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    per_class: bool


def asked_by(gate: Gate, name: str, history: History) -> Asked:
    """Find out what a gate asks for, and whether a checkpoint can answer.

    Args:
        gate: The gate.
        name: What the scores' names begin with.
        history: What the run's own gates remembered.

    Returns:
        What has to be computed.

    Raises:
        ValueError: If the gate asks for what only a run knows; the message says what that is.
    """
    named = [_parts(condition.score, name) for condition in gate.conditions]
    methods = tuple(dict.fromkeys(method for method, _ in named if not _is_random(method)))
    metrics = tuple(dict.fromkeys(metric for _, metric in named))
    if not methods:
        raise ValueError(
            f"The gate asks for {gate.conditions[0].score!r}, a score of random attributions, and for no method's,"
            f" which they stand beside; name one too, such as {name}/saliency/{metrics[0]}."
        )
    if "agreement" in metrics and len(methods) == 1:
        raise ValueError(
            f"The gate asks how far methods agree, and names {methods[0]} alone; ask for a score of another method too,"
            f" such as '{name}/saliency/agreement >= -1'."
        )
    _require_best(gate, history)
    _require_streaks(gate, history)
    return Asked(methods, metrics, any("/class_" in condition.score for condition in gate.conditions))


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
    if metric in _OF_A_RUN:
        raise ValueError(f"The gate asks for {score!r}; {metric} needs {_OF_A_RUN[metric]}, which only a run knows.")
    return method, metric


def _is_random(method: str) -> bool:
    return method.split("@")[0] == "random"


def _require_best(gate: Gate, history: History) -> None:
    missing = [str(c) for c in gate.conditions if c.reference == "best" and c.score not in history.best]
    if missing:
        raise ValueError(
            f"The gate compares with the best value so far, {missing[0]}, and the checkpoint knows none: only a"
            " run whose own gate compared that score with its best writes it down. Compare with a number or 'random'."
        )


def _require_streaks(gate: Gate, history: History) -> None:
    lasting = [part for expression in gate.expressions for part in _lasting(expression)]
    missing = [part for part in lasting if part.validations > 1 and str(part.part) not in history.streaks]
    if missing:
        raise ValueError(
            f"The gate asks for {missing[0].validations} validations, '{missing[0]}', and the checkpoint does not know"
            f" for how long that has held: only a run whose own gate asked 'for N validations' of the same condition"
            f" writes it down. Ask for '{missing[0].part}'."
        )


def _lasting(expression: Expression) -> Iterator[Lasting]:
    if isinstance(expression, Condition):
        return
    if isinstance(expression, Lasting):
        yield expression
    for part in (expression.part,) if isinstance(expression, Lasting) else expression.parts:
        yield from _lasting(part)
