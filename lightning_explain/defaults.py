"""What is done where the user names nothing."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from lightning_explain.attribution.convolution import CONVOLUTIONS
from lightning_explain.attribution.engine import parse
from lightning_explain.attribution.place import Input
from lightning_explain.metrics import METRICS
from lightning_explain.probe import ProbeSet
from lightning_explain.specs import MethodSpec, MetricSpec


def default_methods(module: nn.Module | None) -> Sequence[MethodSpec]:
    """Saliency, integrated gradients, and Grad-CAM if the model has a convolution, else input x gradient.

    Returns:
        Names.
    """
    convolutions = module is not None and any(isinstance(m, CONVOLUTIONS) for m in module.modules())
    return ("saliency", "integrated_gradients", "grad_cam" if convolutions else "input_x_gradient")


def default_metrics(probe: ProbeSet, methods: Sequence[MethodSpec]) -> Sequence[MetricSpec]:
    """The metrics that say most for their rows, of those that can score one of the methods on this probe set.

    Returns:
        Names.
    """
    chosen = [name for name, metric in METRICS.items() if metric.default]
    if isinstance(methods, str):
        return chosen  # the suite says what is wrong
    known = [parse(spec[0] if isinstance(spec, tuple) else spec)[0] for spec in methods]
    return [name for name in chosen if any(METRICS[name]().missing(m, Input(), probe) is None for m in known)]
