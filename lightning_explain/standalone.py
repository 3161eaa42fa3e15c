"""Explaining and scoring a model outside a training run."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.model import Forward, call
from lightning_explain.attribution.replication import Replicating
from lightning_explain.defaults import default_methods, default_metrics
from lightning_explain.examination import Examination
from lightning_explain.probe import ProbeSet
from lightning_explain.specs import MethodSpec, MetricSpec
from lightning_explain.suite import Suite


def evaluate(
    model: nn.Module,
    probe: ProbeSet,
    methods: Sequence[MethodSpec] | None = None,
    metrics: Sequence[MetricSpec] | None = None,
    *,
    forward: Forward = call,
    max_rows: int | None = None,
    seed: int = 0,
    replica: Replicating = False,
) -> Examination:
    """Explain the samples of a probe set and score the explanations, as the monitor does at a validation.

    The model is left exactly as it was.

    Args:
        model: Any module; it is run in evaluation mode, on its own device.
        probe: The samples.
        methods: As for :class:`~lightning_explain.AttributionMonitor`; None: its default.
        metrics: Likewise.
        forward: How to call the model, ``(model, inputs) -> outputs``.
        max_rows: The most rows that go through the model at once; None: chosen by measurement.
        seed: Where the random removals, yardsticks and parameters begin.
        replica: As in :func:`~lightning_explain.attribution.engine.explain`.

    Returns:
        Attributions and scores; ``.scores("")`` gives them by name.

    Raises:
        ValueError: If a method, metric, layer or target does not fit; the message says what would.

    Example:
        >>> import torch
        >>> model = nn.Linear(4, 2)
        >>> probe = ProbeSet.from_tensors(torch.randn(8, 4), label=torch.arange(8) % 2)
        >>> examination = evaluate(model, probe, ["input_x_gradient"], ["infidelity", "srg"])
        >>> round(examination.explained[0].scores["infidelity"].mean, 6)
        0.0
    """
    methods = default_methods(model) if methods is None else methods
    metrics = default_metrics(probe, methods) if metrics is None else metrics
    suite = Suite(probe, methods, metrics, forward, RowBudget(max_rows), seed, replica)
    suite.prepare(model)
    return suite.run(model)
