"""What a validation finds out: attributions and scores of every method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from torch import Tensor

from lightning_explain.attribution.attribution import Attribution
from lightning_explain.metrics import Score
from lightning_explain.metrics.over_time.agreement import agreement
from lightning_explain.names import class_name, random_lines

Maps: TypeAlias = Mapping[str, Tensor]
"""Attributions of the features (n, D), by the explainer's name."""


@dataclass(frozen=True)
class Explained:
    """What one method says of the probe set.

    Args:
        name: The method, and its layer if it has one.
        attribution: The attributions, on the CPU.
        maps: The attributions of the features (n, D), on the CPU.
        scores: A score for each metric that applies.
        space: Where the maps live, as in the name of the yardstick: nothing for the input, else ``@layer``.
    """

    name: str
    attribution: Attribution
    maps: Tensor
    scores: Mapping[str, Score]
    space: str = ""


@dataclass(frozen=True)
class Examination:
    """What all methods say of the probe set, and what random attributions score.

    Args:
        explained: One entry for each method.
        yardstick: The scores of random attributions, where a metric has a yardstick, by ``random`` or ``random@layer``.
    """

    explained: tuple[Explained, ...]
    yardstick: Mapping[str, Mapping[str, Score]]

    @property
    def maps(self) -> Maps:
        """The attributions of the features, for the next validation to be compared with."""
        return {entry.name: entry.maps for entry in self.explained}

    def scores(self, prefix: str, label: Tensor | None = None) -> dict[str, Score]:
        """All scores by the full name under which they are logged.

        Args:
            prefix: What the names begin with.
            label: Class labels (n,): with them the scores of each class's samples stand beside those of all, random
                attributions included.

        Returns:
            Score by ``prefix/method/metric``, and ``prefix/method/metric/class_<label>``.
        """
        by_method = {entry.name: entry.scores for entry in self.explained} | dict(self.yardstick)
        named = {f"{prefix}/{method}/{metric}": s for method, of in by_method.items() for metric, s in of.items()}
        if label is None:
            return named
        lines = self.yardsticks(prefix)
        by_class = {name: _of_classes(score, named.get(lines.get(name, "")), label) for name, score in named.items()}
        return named | {class_name(name, c): score for name, of in by_class.items() for c, score in of.items()}

    def yardsticks(self, prefix: str, label: Tensor | None = None) -> dict[str, str]:
        """The random line of every score that has one.

        Args:
            prefix: What the names begin with.
            label: Class labels (n,), as for :meth:`scores`; the line of a class's score is that of the same samples.

        Returns:
            ``prefix/random[@layer]/metric`` by the score's name.
        """
        scored = (
            (entry.name, entry.space, metric)
            for entry in self.explained
            for metric in self.yardstick.get(f"random{entry.space}", {})
            if metric in entry.scores
        )
        return random_lines(prefix, scored, [] if label is None else [int(c) for c in label.unique()])

    @cached_property
    def agreement(self) -> tuple[Agreement, ...]:
        """How far methods whose maps live at the same place agree; one table for each place with several."""
        spaces = list(dict.fromkeys(entry.space for entry in self.explained))
        groups = [{e.name: e.maps for e in self.explained if e.space == space} for space in spaces]
        return tuple(
            Agreement(tuple(maps), tuple(map(tuple, agreement(maps).nanmean(dim=0).tolist())))
            for maps in groups
            if len(maps) > 1
        )


@dataclass(frozen=True)
class Agreement:
    """The mean rank correlation between the maps of every two methods.

    Args:
        methods: Their names.
        correlations: A row for each method, in [-1, 1]; NaN where no sample has two maps that order something.
    """

    methods: tuple[str, ...]
    correlations: tuple[tuple[float, ...], ...] = field(repr=False)

    @property
    def markdown(self) -> str:
        """The table, for loggers that take text."""
        rows = zip(self.methods, self.correlations, strict=True)
        head = f"| rank correlation | {' | '.join(self.methods)} |\n|---|{'---|' * len(self.methods)}\n"
        return head + "\n".join(f"| {name} | {' | '.join(f'{c:.2f}' for c in row)} |" for name, row in rows)


@dataclass(frozen=True)
class Report:
    """The scores of one validation.

    Args:
        validation: The number of the validation in this run, from 1.
        global_step: ``trainer.global_step`` at that validation.
        scores: Score by full name.
        agreement: How far methods agree, a table for each place with several.
    """

    validation: int
    global_step: int
    scores: Mapping[str, Score]
    agreement: tuple[Agreement, ...] = ()


def _of_classes(score: Score, random: Score | None, label: Tensor) -> Mapping[int, Score]:
    of = score.by_class(label)
    if random is None:
        return of
    lines = random.by_class(label)
    return {c: one.against(lines[c], score.perfect) for c, one in of.items()}
