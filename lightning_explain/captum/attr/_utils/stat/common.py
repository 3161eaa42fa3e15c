"""The statistics that one usually wants."""

from __future__ import annotations

from lightning_explain.captum.attr._utils.stat.accumulated import Max, Min
from lightning_explain.captum.attr._utils.stat.moments import Mean, StdDev, Var
from lightning_explain.captum.attr._utils.stat.statistic import Stat


def CommonStats() -> list[Stat]:  # noqa: N802  (Captum's name)
    """The usual ones: mean, sample variance, sample standard deviation, smallest and largest value.

    Returns:
        New statistics, for one summarizer.
    """
    return [Mean(), Var(order=1), StdDev(order=1), Min(), Max()]
