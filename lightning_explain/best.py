"""The best validation so far: what it looked like there."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from lightning_explain.examination import Maps


@dataclass
class Best:
    """Remembers the attributions at the validation at which a metric was best.

    Args:
        value: The metric there; None before there is one.
        maps: The attributions there.
    """

    value: float | None = None
    maps: Maps | None = None

    def take(self, metric: Tensor | float | None, mode: str, maps: Maps) -> None:
        """Look at a validation, and keep it if it is the best so far; the first of equals stays.

        Args:
            metric: The metric at this validation; one that is missing or not finite is never the best.
            mode: ``"min"`` or ``"max"``.
            maps: The attributions at this validation.
        """
        value = math.nan if metric is None else float(metric)
        if not math.isfinite(value):
            return
        better = self.value is None or (value < self.value if mode == "min" else value > self.value)
        if better:
            self.value, self.maps = value, maps
