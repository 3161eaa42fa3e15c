"""Explain a model's quality on a whole data set: what does a metric lose without a feature?"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.model import Forward, call, output
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.replication import Replicating, replicated_or_warn, require_replicating
from lightning_explain.attribution.scoring import replaced
from lightning_explain.baseline import Baseline
from lightning_explain.inputs import Inputs, Point, leaves, pick
from lightning_explain.sampling import batches


class Metric(Protocol):
    """What is measured over the data set, such as any metric of torchmetrics: it adds up, and then says."""

    def update(self, outputs: Tensor, label: Tensor, /) -> Any:  # noqa: ANN401  (what it returns plays no part)
        """Take in the model's outputs (m, ...) for some samples and their labels (m, ...)."""

    def compute(self) -> Tensor:
        """The metric of all that was taken in: one number, or several (k,)."""


@dataclass(frozen=True, eq=False)
class DatasetAttribution:
    """How much a metric falls when one feature is replaced by the baseline in all samples of a data set.

    Args:
        point: Attributions (k, ...) for each input that can be explained, k numbers that the metric gives; all
            elements of a feature carry its attribution.
        coefficients: The attributions of the features (k, F), in the order of the ids of the feature mask, or of
            positions.
        score: The metric with all features there, (k,).
        names: What the inputs are called.
        keyed: Whether the inputs were a dict.
    """

    point: Point = field(repr=False)
    coefficients: Tensor = field(repr=False)
    score: Tensor
    names: tuple[str, ...]
    keyed: bool = False

    @property
    def values(self) -> Inputs:
        """The attributions as the inputs came: a tensor, a tuple, or a dict (of those that can be explained)."""
        if self.keyed:
            return dict(zip(self.names, self.point, strict=True))
        return self.point[0] if len(self.point) == 1 else self.point


def explain_dataset(  # noqa: PLR0913  (the whole question in one call)
    model: nn.Module,
    dataloader: Iterable[Any],
    metric: Metric,
    *,
    baseline: Baseline = "zeros",
    feature_mask: Inputs | None = None,
    perturbations_per_pass: int = 64,
    forward: Forward = call,
    max_rows: int | None = None,
    replica: Replicating = False,
) -> DatasetAttribution:
    """Ablate features over a whole data set, and measure. The model and the metric are left as they were.

    The loader is run through ceil(F / ``perturbations_per_pass``) + 1 times; every sample takes F + 1 rows. Memory is
    that of one chunk of rows and of ``perturbations_per_pass`` copies of the metric.

    Args:
        model: Any module; it is run in evaluation mode.
        dataloader: Gives batches ``(input, ..., label)``, or dicts whose label is called ``label``, ``labels``,
            ``target`` or ``y``; their order plays no part. It must give the same samples at every pass.
        metric: Copied for every feature, on the model's device. It gets the samples of a batch in parts.
        baseline: ``"zeros"``, a number, or tensors with 1 sample: the same for all samples.
        feature_mask: As in :func:`~lightning_explain.attribution.engine.explain`, with 1 sample: the same for all.
        perturbations_per_pass: Features that are ablated during one pass. At least 1.
        forward: How to call the model, ``(model, inputs) -> outputs``.
        max_rows: The most rows that go through the model at once; None: chosen by measurement.
        replica: As in :func:`~lightning_explain.attribution.engine.explain`; it is tried on the first batch.

    Returns:
        The attributions. Positive where the metric falls without the feature: good, for an accuracy; for an error,
        negative is good.

    Raises:
        ValueError: If the loader is empty, can be run through only once or gives no labels, the mask or the baseline
            is not the same for all samples, or ``perturbations_per_pass`` is less than 1.

    Example:
        >>> from torchmetrics import MeanSquaredError
        >>> x = torch.randn(64, 3)
        >>> loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x[:, 0]), batch_size=16)
        >>> class First(nn.Module):
        ...     def forward(self, x): return x[:, 0]
        >>> found = explain_dataset(First(), loader, MeanSquaredError())
        >>> float(found.score), [round(value, 4) < 0 for value in found.coefficients[0].tolist()]
        (0.0, [True, False, False])
    """
    require_replicating(replica)
    _require_sane(dataloader, baseline, feature_mask, perturbations_per_pass)
    budget, calling = RowBudget(max_rows), list[Forward]()

    def problems() -> Iterator[tuple[Problem, Tensor]]:
        for inputs, label in batches(dataloader):
            if label is None:
                raise ValueError("The data loader gives no labels: batches are (input, ..., label), or dicts with one.")
            problem = pose(
                model, inputs, None, baseline=baseline, forward=forward, feature_mask=feature_mask, budget=budget
            )
            calling[:] = calling or [replicated_or_warn(problem, replica).forward]
            yield replace(problem, forward=calling[0]), label.to(problem.z[0].device)

    with borrowed(model):
        first, whole = None, copy.deepcopy(metric)
        for problem, label in problems():
            first = first or problem
            _measure(problem, label, None, [whole])
        if first is None:
            raise ValueError("The data loader is empty: it needs at least one batch.")
        score, parts = _numbers(whole), []
        for features in torch.arange(first.features.count).split(perturbations_per_pass):
            metrics = [copy.deepcopy(metric) for _ in features]
            for problem, label in problems():
                _measure(problem, label, features.to(label.device), metrics)
            parts += [score - _numbers(ablated) for ablated in metrics]
    return _laid_out(first, torch.stack(parts, dim=1), score)


def _measure(problem: Problem, label: Tensor, ablated: Tensor | None, metrics: list[Metric]) -> None:
    """Update a metric for each of the ``ablated`` features; None: one, for the samples as they are."""
    n, device = problem.samples, problem.z[0].device

    def body(chunk: slice) -> None:
        index = torch.arange(chunk.start, chunk.stop, device=device)
        rows, copies = index % n, index // n
        z = _without(problem, rows, None if ablated is None else ablated[copies])
        with torch.no_grad():
            outputs = output(problem.model, replaced(problem, z, rows), problem.forward)
        for number in range(chunk.start // n, (chunk.stop - 1) // n + 1):
            part = slice(max(number * n - chunk.start, 0), (number + 1) * n - chunk.start)
            metrics[number].update(outputs[part], label.index_select(0, rows[part]))

    problem.run(len(metrics) * n, "forward", body)


def _without(problem: Problem, rows: Tensor, feature: Tensor | None) -> Point:
    if feature is None:
        return pick(problem.z, rows)
    present = torch.ones(len(rows), problem.features.count, dtype=torch.bool, device=rows.device)
    return problem.features.mixed(present.scatter_(1, feature[:, None], value=False), rows, problem.z, problem.z0)


def _numbers(metric: Metric) -> Tensor:
    # In float64 before the difference is taken: counts divided by counts differ little.
    return torch.as_tensor(metric.compute()).detach().cpu().double().reshape(-1)


def _laid_out(first: Problem, coefficients: Tensor, score: Tensor) -> DatasetAttribution:
    device = first.z[0].device
    like = tuple(leaf[:1].expand(len(coefficients), *leaf.shape[1:]) for leaf in first.z)
    return DatasetAttribution(
        point=first.features.spread(coefficients.to(device, torch.float32), like),
        coefficients=coefficients,
        score=score,
        names=first.place.names(first),
        keyed=isinstance(first.inputs, Mapping),
    )


def _require_sane(
    dataloader: Iterable[Any], baseline: Baseline, feature_mask: Inputs | None, perturbations_per_pass: int
) -> None:
    if perturbations_per_pass < 1:
        raise ValueError(f"perturbations_per_pass must be at least 1, got {perturbations_per_pass}.")
    if isinstance(dataloader, Iterator):
        raise ValueError(
            f"The data is run through several times, and a {type(dataloader).__name__} gives it once; pass a"
            " DataLoader, or a list of batches."
        )
    for what, given in (("baseline", baseline), ("feature_mask", feature_mask)):
        if given is None or isinstance(given, (str, float, int)):
            continue
        rows = [len(leaf) if leaf.ndim else 0 for leaf in leaves(given)]
        if any(count != 1 for count in rows):
            raise ValueError(f"The {what} must be the same for all samples, with 1 in front; got {rows} rows.")
    if baseline == "mean":
        raise ValueError(
            "The baseline 'mean' would be another one for each batch; pass the mean of the data as a tensor."
        )
