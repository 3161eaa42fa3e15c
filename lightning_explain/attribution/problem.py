"""One attribution problem: a model, samples, what is explained and where; the only door to its rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.features import Features
from lightning_explain.attribution.model import Forward, call, output
from lightning_explain.attribution.place import Input, Layer, Place
from lightning_explain.attribution.target import Readout, select
from lightning_explain.feature_mask import select as select_mask
from lightning_explain.inputs import Inputs, Point, batch_size, column, is_continuous, leaves, rebuild, take

Points: TypeAlias = Callable[[Tensor, Tensor], Point]
"""(rows, copies) -> the variable, with a row for each pair of a sample and a copy number."""

T = TypeVar("T")
Score: TypeAlias = Callable[[Point, Tensor, Tensor], Tensor]
"""(variable, rows, copies) -> the score of each row, with the graph whose gradient is wanted."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What a method sees: the variable ``z``, its baseline ``z0``, and the score with its gradient.

    Args:
        model: The module, already borrowed (see :func:`~lightning_explain.attribution.guard.borrowed`).
        inputs: Samples (n, ...).
        baseline: Baselines of the same shapes.
        target: Output indices (n, k), or None (see :mod:`~lightning_explain.attribution.target`).
        place: Where attributions live.
        readout: How the explained number is read from the output.
        forward: How the model is called.
        budget: How many rows go through the model at once.
        feature_mask: Which elements of the variable are perturbed as one (see
            :func:`~lightning_explain.feature_mask.match`); None: those of a position, whatever its channel.
    """

    model: nn.Module
    inputs: Inputs
    baseline: Inputs
    target: Tensor | None
    place: Place = field(default_factory=Input)
    readout: Readout = "raw"
    forward: Forward = call
    budget: RowBudget = field(default_factory=RowBudget)
    feature_mask: Inputs | None = None
    _memory: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def samples(self) -> int:
        """The number of samples n."""
        return batch_size(self.inputs)

    @cached_property
    def z(self) -> Point:
        """The variable of the place at the inputs, (n, ...) each."""
        return self._variable(self.inputs)

    @cached_property
    def z0(self) -> Point:
        """The variable of the place at the baseline, (n, ...) each.

        Raises:
            ValueError: If it is that at the samples, for integers that are held fixed.
        """
        z0 = self._variable(self.baseline)
        if self._holds_ids_fixed and all(map(torch.equal, self.z, z0)):
            raise ValueError(
                f"The baseline of {', '.join(self.place.names(self))} is what it is at the samples, for the integer"
                " inputs stay as they are: no name says which id stands for nothing. Give baseline=, a number, or"
                " tensors such as torch.full_like(ids, padding_id)."
            )
        return z0

    @cached_property
    def difference(self) -> Point:
        """How far the variable is from its baseline, z - z0, (n, ...) each."""
        self._require_numbers()
        return tuple(z - z0 for z, z0 in zip(self.z, self.z0, strict=True))

    @property
    def outputs(self) -> Tensor:
        """The model's outputs for the samples, (n, ...), detached."""
        return self.remembered("outputs", self._outputs)

    @cached_property
    def features(self) -> Features:
        """What is perturbed as one."""
        return Features.of(self.z, self.place.channel_dim, self.feature_mask, self.place.names(self))

    @cached_property
    def value(self) -> Tensor:
        """The score at the inputs, (n,)."""
        if self.place.explains_output:
            score = select(self.outputs, self.target, self.readout)
            return score.to(_accumulator(score))
        return self.values(1, lambda rows, _: _pick(self.z, rows))[:, 0]

    @cached_property
    def baseline_value(self) -> Tensor:
        """The score at the baseline, (n,)."""
        return self.values(1, lambda rows, _: _pick(self.z0, rows))[:, 0]

    def remembered(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Compute something once for this problem: what methods and metrics ask for alike.

        Args:
            key: What it is.
            compute: Makes it.

        Returns:
            What ``compute`` gave, the first time.
        """
        if key not in self._memory:
            self._memory[key] = compute()
        return self._memory[key]  # type: ignore[no-any-return]

    def select(self, rows: Tensor) -> Problem:
        """The same problem for the samples ``rows`` (with repetition, if they repeat).

        Returns:
            A problem of ``len(rows)`` samples.
        """
        target = None if self.target is None else self.target.index_select(0, rows)
        mask = None if self.feature_mask is None else select_mask(self.feature_mask, rows, self.samples)
        part = replace(self, inputs=take(self.inputs, rows), baseline=take(self.baseline, rows), target=target)
        return part if mask is None else replace(part, feature_mask=mask)

    def with_inputs(self, inputs: Inputs) -> Problem:
        """The same problem, target and baseline, for other inputs.

        Returns:
            A problem with as many samples.
        """
        return replace(self, inputs=inputs)

    def at(self, place: Place) -> Problem:
        """The same problem at another place; a feature mask is of one variable, and stays behind where that changes.

        Returns:
            A problem that knows the outputs already, if this one does; this one, if it is there.
        """
        if place == self.place:
            return self
        moved = isinstance(place, Layer) or isinstance(self.place, Layer)
        return self._changed(place=place, feature_mask=None if moved else self.feature_mask)

    def masked(self, feature_mask: Inputs | None) -> Problem:
        """The same problem with other features.

        Returns:
            A problem that knows the outputs already, if this one does.
        """
        return self._changed(feature_mask=feature_mask)

    def reading(self, readout: Readout) -> Problem:
        """The same problem, the explained number read in another way.

        Returns:
            A problem that knows the variable already, if this one does.
        """
        other = self._changed(readout=readout)
        # Where cached properties keep their values.
        vars(other).update({key: value for key, value in vars(self).items() if key in {"z", "z0", "difference"}})
        return other

    def _changed(self, **changes: Any) -> Problem:
        other = replace(self, **changes)
        if "outputs" in self._memory:
            other.remembered("outputs", lambda: self.outputs)
        return other

    def values(self, copies: int, points: Points) -> Tensor:
        """The score of ``copies`` points for each sample.

        Args:
            copies: The number of points per sample.
            points: Makes the points for pairs of sample and copy number.

        Returns:
            Scores (n, copies).
        """
        parts: list[Tensor] = []

        def body(chunk: slice) -> None:
            rows, copy = self._pairs(chunk)
            # Not inference_mode: what a module caches in its forward pass would poison its next training step.
            with torch.no_grad():
                score = self.place.score(self, points(rows, copy), rows)
                parts.append(score.to(_accumulator(score), copy=True))  # a view would keep all its base

        self.budget.run(copies * self.samples, f"forward{self.place}", body)
        return torch.cat(parts).view(copies, self.samples).T

    def gradient(self) -> Point:
        """The gradient of the score with respect to the variable, at the inputs.

        Returns:
            Tensors like ``z``.
        """
        return self.gradient_mean(1, lambda rows, _: _pick(self.z, rows))

    def score(self, z: Point, rows: Tensor) -> Tensor:
        """The explained number, with its graph, in one pass of the model; methods ask for means or values instead.

        Args:
            z: The variable, (m, ...) each.
            rows: The samples that the rest is taken from, (m,).

        Returns:
            Scores (m,).
        """
        return self.place.score(self, z, rows)

    def gradient_mean(
        self,
        copies: int,
        points: Points,
        weights: Tensor | None = None,
        *,
        score: Score | None = None,
        kind: str = "backward",
    ) -> Point:
        """The weighted mean of the gradients at ``copies`` points for each sample.

        Args:
            copies: The number of points per sample.
            points: Makes the points for pairs of sample and copy number.
            weights: Weights (copies,); 1 / copies each, if None.
            score: What to differentiate: :meth:`score`, with another backward pass perhaps; None: :meth:`score`.
            kind: What the work is, for the row budget, which learns chunk sizes for each kind.

        Returns:
            Tensors like ``z``, at least in float32.
        """
        self._require_numbers()
        n = self.samples
        weights = torch.full((copies,), 1 / copies, dtype=torch.float64) if weights is None else weights
        totals = tuple(torch.zeros_like(leaf, dtype=_accumulator(leaf)) for leaf in self.z)

        def body(chunk: slice) -> None:
            rows, copy = self._pairs(chunk)
            gradients = self._gradient_at(points(rows, copy), rows, copy, score)
            weighted = [
                column(weights.to(total)[copy], total) * gradient.to(total)
                for total, gradient in zip(totals, gradients, strict=True)
            ]
            for total, part in zip(totals, weighted, strict=True):  # nothing is added before all is there
                total.index_add_(0, rows, part)

        self.budget.run(copies * n, f"{kind}{self.place}", body)
        return totals

    def _outputs(self) -> Tensor:
        parts: list[Tensor] = []

        def body(chunk: slice) -> None:
            # Copies, for the model may work in place on its inputs.
            part = rebuild(self.inputs, tuple(leaf[chunk].clone() for leaf in leaves(self.inputs)))
            with torch.no_grad():
                parts.append(output(self.model, part, self.forward).clone())  # a view would keep all its base

        self.budget.run(self.samples, "forward", body)
        return torch.cat(parts)

    def _variable(self, inputs: Inputs) -> Point:
        parts: list[Point] = []

        def body(chunk: slice) -> None:
            rows = torch.arange(chunk.start, chunk.stop, device=leaves(inputs)[0].device)
            parts.append(self.place.variable(self, take(inputs, rows)))

        if isinstance(self.place, Input):
            return self.place.variable(self, inputs)
        self.budget.run(self.samples, f"forward{self.place}", body)
        return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))

    @property
    def _holds_ids_fixed(self) -> bool:
        """Whether integers are their own baseline, and samples are not simply blank otherwise."""
        pairs = list(zip(leaves(self.inputs), leaves(self.baseline), strict=True))
        ids = [torch.equal(leaf, base) for leaf, base in pairs if not is_continuous(leaf)]
        blank = [torch.equal(leaf, base) for leaf, base in pairs if is_continuous(leaf)]
        return any(ids) and not (blank and all(blank))

    def _pairs(self, chunk: slice) -> tuple[Tensor, Tensor]:
        # Copy by copy, so that a chunk holds as few copies as possible.
        index = torch.arange(chunk.start, chunk.stop, device=self.z[0].device)
        return index % self.samples, index // self.samples

    def _require_numbers(self) -> None:
        for name, leaf in zip(self.place.names(self), self.z, strict=True):
            if not is_continuous(leaf):
                raise TypeError(
                    f"{name} holds {leaf.dtype} values, for which there is no gradient. Explain the layer that turns"
                    " them into numbers, place=Layer('<embedding>'), or use a perturbation method such as occlusion."
                )

    def _gradient_at(self, z: Point, rows: Tensor, copies: Tensor, score: Score | None) -> Point:
        z = tuple(leaf.detach().requires_grad_() for leaf in z)
        with torch.enable_grad():
            scores = self.score(z, rows) if score is None else score(z, rows, copies)
            gradients = torch.autograd.grad(scores.sum(), z, allow_unused=True) if scores.requires_grad else [None]
        if all(gradient is None for gradient in gradients):
            raise ValueError(
                f"The explained output does not depend differentiably on {', '.join(self.place.names(self))}: the model"
                " detaches it, rounds it, or runs under no_grad. Use a perturbation method such as occlusion, or"
                " another place."
            )
        return tuple(
            torch.zeros_like(leaf) if gradient is None else gradient
            for leaf, gradient in zip(z, gradients, strict=True)
        )


def _pick(point: Point, rows: Tensor) -> Point:
    return tuple(leaf.index_select(0, rows) for leaf in point)


def _accumulator(leaf: Tensor) -> torch.dtype:
    return torch.float64 if leaf.dtype == torch.float64 else torch.float32
