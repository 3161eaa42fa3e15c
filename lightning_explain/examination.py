"""What a validation finds out: attributions and scores of every method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from lightning_explain.attribution.attribution import Attribution
from lightning_explain.metrics import Score

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
    """

    name: str
    attribution: Attribution
    maps: Tensor
    scores: Mapping[str, Score]


@dataclass(frozen=True)
class Examination:
    """What all methods say of the probe set, and what random attributions score.

    Args:
        explained: One entry for each method.
        yardstick: The faithfulness scores of random attributions, by ``random`` or ``random@layer``.
    """

    explained: tuple[Explained, ...]
    yardstick: Mapping[str, Mapping[str, Score]]

    @property
    def maps(self) -> Maps:
        """The attributions of the features, for the next validation to be compared with."""
        return {entry.name: entry.maps for entry in self.explained}

    def scores(self, prefix: str) -> dict[str, Score]:
        """All scores by the full name under which they are logged.

        Returns:
            Score by ``prefix/method/metric``.
        """
        by_method = {entry.name: entry.scores for entry in self.explained} | dict(self.yardstick)
        return {f"{prefix}/{method}/{metric}": s for method, of in by_method.items() for metric, s in of.items()}


@dataclass(frozen=True)
class Report:
    """The scores of one validation.

    Args:
        validation: The number of the validation in this run, from 1.
        global_step: ``trainer.global_step`` at that validation.
        scores: Score by full name.
    """

    validation: int
    global_step: int
    scores: Mapping[str, Score]
