"""Methods and metrics as users write them, and what they stand for."""

from __future__ import annotations

from typing import TypeAlias

from lightning_explain.attribution.engine import parse
from lightning_explain.attribution.methods import Method
from lightning_explain.attribution.place import Place
from lightning_explain.metrics import METRICS, AttributionMetric
from lightning_explain.metrics.localisation.region import RegionMetric
from lightning_explain.probe import ProbeSet

MethodSpec: TypeAlias = str | Method | tuple[str | Method, Place]
MetricSpec: TypeAlias = str | AttributionMetric


def parse_method(spec: MethodSpec) -> tuple[Method, Place | None]:
    """Read a name, ``"name@layer"``, a method, or a pair of one with a place.

    Returns:
        The method, and its place or None.
    """
    method, place = spec if isinstance(spec, tuple) else (spec, None)
    chosen, named = parse(method)
    return chosen, place or named


def parse_metric(spec: MetricSpec, probe: ProbeSet) -> AttributionMetric:
    """Read a name, or take a metric as it is.

    Args:
        spec: What the user wrote.
        probe: The samples that will be scored: they say what a region is.

    Returns:
        The metric.

    Raises:
        TypeError: If ``spec`` is neither a name nor a metric.
        ValueError: If the name is unknown, or the metric and the probe set contradict each other.
    """
    if not isinstance(spec, (str, AttributionMetric)):
        raise TypeError(f"A metric is a name or an AttributionMetric such as Infidelity(), got {spec!r}.")
    metric = _named(spec, probe) if isinstance(spec, str) else spec
    if isinstance(metric, RegionMetric):
        _check_region(metric, probe)
    return metric


def _named(name: str, probe: ProbeSet) -> AttributionMetric:
    try:
        chosen = METRICS[name]
    except KeyError as error:
        raise ValueError(error.args[0]) from None
    # Every rank scores the whole probe set: gathering would count each sample once for every rank.
    if issubclass(chosen, RegionMetric):
        return chosen(artefact=probe.region == "artefact", sync_on_compute=False)
    return chosen(sync_on_compute=False)


def _check_region(metric: RegionMetric, probe: ProbeSet) -> None:
    if probe.mask is None:
        raise ValueError(f"The metric {metric.name!r} needs a mask; pass mask= to the probe set.")
    if metric.artefact != (probe.region == "artefact"):
        raise ValueError(
            f"The probe set's mask marks an {probe.region!r}, but the metric {metric.name!r} has"
            f" artefact={metric.artefact}; one of them has the wrong direction."
        )
