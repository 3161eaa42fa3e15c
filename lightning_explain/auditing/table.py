"""What an audit found, for a terminal."""

from __future__ import annotations

from lightning_explain.auditing.audit import Audit
from lightning_explain.metrics import Score


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
    return "\n".join([*(line.rstrip() for line in lines), "", found.verdict.sentence])


def _row(name: str, score: Score) -> tuple[str, ...]:
    n = f"{score.n} of {score.n + score.undefined}" if score.undefined else str(score.n)
    skill = "" if score.skill is None else f"{score.skill:.2f}"
    return name, f"{score.mean:.4g}", f"{score.low:.4g} … {score.high:.4g}", n, skill
