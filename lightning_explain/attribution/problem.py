"""One attribution problem: a model, samples, what is explained and where; the only door to its rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import EllipsisType
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.derivative import accumulator, derivative
from lightning_explain.attribution.features import Features
from lightning_explain.attribution.model import Forward, call, output
from lightning_explain.attribution.place import Input, Neuron, Place, differentiable
from lightning_explain.attribution.tail import Replaced, shortened
from lightning_explain.attribution.target import Readout, select
from lightning_explain.feature_mask import select as select_mask
from lightning_explain.inputs import Inputs, Point, batch_size, column, is_continuous, leaves, rebuild, take

Points: TypeAlias = Callable[[Tensor, Tensor], Point]
"""(rows, copies) -> the variable, with a row for each pair of a sample and a copy number."""

T = TypeVar("T")
Score: TypeAlias = Callable[[Point, Tensor, Tensor], Tensor]
"""(variable, rows, copies) -> the score of each row, with the graph whose gradient is wanted."""

Use: TypeAlias = Callable[[Tensor, Tensor, Point, Point], None]
"""(rows, copies, variable, gradient) -> nothing: what is done with the variable and its gradient at these pairs."""


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
        create_graph: Whether results depend differentiably on the parameters and the inputs.
        tails: At which places the part of the model that lies behind them can be run alone, once it was tried: for
            these samples and no others.
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
    create_graph: bool = False
    tails: dict[Place, bool] = field(default_factory=dict, repr=False)

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
        self.require_numbers()
        return tuple(z - z0 for z, z0 in zip(self.z, self.z0, strict=True))

    @cached_property
    def features(self) -> Features:
        """What is perturbed as one."""
        return Features.of(self.z, self.place.channel_dim, self.feature_mask, self.place.names(self))

    @cached_property
    def outputs(self) -> Tensor:
        """The model's outputs for the samples, (n, ...), detached."""
        parts: list[Tensor] = []

        def body(chunk: slice) -> None:
            # Copies, for the model may work in place on its inputs.
            part = rebuild(self.inputs, tuple(leaf[chunk].clone() for leaf in leaves(self.inputs)))
            with torch.no_grad():
                parts.append(output(self.model, part, self.forward).clone())  # a view would keep all its base

        self.budget.run(self.samples, "forward", body)
        return torch.cat(parts)

    @cached_property
    def value(self) -> Tensor:
        """The score at the inputs, (n,)."""
        if not isinstance(self.place, Neuron) and not self.create_graph:  # the outputs are without a graph
            score = select(self.outputs, self.target, self.readout)
            return score.to(accumulator(score))
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
        chosen = replace(
            self,
            inputs=take(self.inputs, rows),
            baseline=take(self.baseline, rows),
            target=None if self.target is None else self.target.index_select(0, rows),
            feature_mask=None if self.feature_mask is None else select_mask(self.feature_mask, rows, self.samples),
            tails={},
        )
        known = vars(self)
        chosen.__dict__.update({name: _pick(known[name], rows) for name in ("z", "z0", "slope") if name in known})
        chosen.__dict__.update({
            name: known[name][rows] for name in ("outputs", "value", "baseline_value") if name in known
        })
        return chosen

    def at(self, place: Place, target: Tensor | EllipsisType | None = ...) -> Problem:
        """The same samples at another place, or with another target; what the model gives for them is kept.

        A feature mask is of one variable, and stays behind where that changes.

        Args:
            place: The place.
            target: Output indices (n, k) or None; if left out, those of this problem.

        Returns:
            A problem of as many samples; this one, if nothing changes.
        """
        changes: dict[str, Any] = {} if isinstance(target, EllipsisType) else {"target": target}
        if place != self.place:
            moved = not (isinstance(place, (Input, Neuron)) and isinstance(self.place, (Input, Neuron)))
            changes |= {"place": place, "feature_mask": None if moved else self.feature_mask}
        return self._changed(**changes) if changes else self

    def masked(self, feature_mask: Inputs | None) -> Problem:
        """The same problem with other features.

        Returns:
            A problem that knows what the model gives, if this one does.
        """
        return self._changed(feature_mask=feature_mask)

    def reading(self, readout: Readout) -> Problem:
        """The same problem, the explained number read in another way.

        Returns:
            A problem that knows the variable, and what the model gives, if this one does.
        """
        other = self._changed(readout=readout)
        other.__dict__.update({key: value for key, value in vars(self).items() if key in {"z", "z0", "difference"}})
        return other

    def with_inputs(self, inputs: Inputs) -> Problem:
        """The same problem, target and baseline, for other inputs.

        Returns:
            A problem with as many samples.
        """
        return replace(self, inputs=inputs, tails={})

    def values(self, copies: int, points: Points) -> Tensor:
        """The score of ``copies`` points for each sample.

        Args:
            copies: The number of points per sample.
            points: Makes the points for pairs of sample and copy number.

        Returns:
            Scores (n, copies).
        """
        parts: list[Tensor] = []
        place = shortened(self, copies)

        def body(chunk: slice) -> None:
            rows, copy = self._pairs(chunk)
            # Not inference_mode: what a module caches in its forward pass would poison its next training step.
            with torch.set_grad_enabled(self.create_graph):
                score = place.score(self, points(rows, copy), rows)
                parts.append(score.to(accumulator(score), copy=True))  # a view would keep all its base

        self.budget.run(copies * self.samples, f"forward{self.place}", body)
        return torch.cat(parts).view(copies, self.samples).T

    def gradient(self) -> Point:
        """The gradient of the score with respect to the variable, at the inputs.

        Returns:
            Tensors like ``z``, at least in float32; they are remembered.
        """
        if "slope" in vars(self):
            return self.__dict__["slope"]  # type: ignore[no-any-return]
        variables: list[Point] = []
        gradients: list[Point] = []

        def keep(_rows: Tensor, _copies: Tensor, z: Point, gradient: Point) -> None:
            variables.append(z if self.create_graph else tuple(leaf.detach() for leaf in z))
            gradients.append(gradient)

        self.observe(1, lambda rows, _: _pick(Input().variable(self, self.inputs), rows), keep)
        # One forward pass gave both.
        self.__dict__.setdefault("z", tuple(map(torch.cat, zip(*variables, strict=True))))
        self.remember(slope=tuple(map(torch.cat, zip(*gradients, strict=True))))
        return self.gradient()

    def remember(self, **known: Point | Tensor) -> None:
        """Take what is known (``z``, its ``slope``, the gradient there, ``outputs``): it is not computed again."""
        self.__dict__.update(known)

    def refuse_graph(self, what: str) -> None:
        """Check that nobody is to train on attributions that do not have the right gradient.

        Args:
            what: What is computed, to begin a message with.

        Raises:
            ValueError: If they are to be trained on.
        """
        if self.create_graph:
            raise ValueError(f"{what} cannot be trained on: leave out create_graph=True.")

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
        factors: Points | None = None,
        *,
        score: Score | None = None,
        kind: str = "backward",
    ) -> Point:
        """The weighted mean of the gradients at ``copies`` points for each sample.

        Args:
            copies: The number of points per sample.
            points: Makes the points for pairs of sample and copy number.
            weights: Weights (copies,); 1 / copies each, if None.
            factors: What the gradient at each point is multiplied with; asked after ``points``, for the same pairs.
            score: What to differentiate: :meth:`score`, with another backward pass perhaps; None: :meth:`score`.
            kind: What the work is, for the row budget, which learns chunk sizes for each kind.

        Returns:
            Tensors like ``z``, at least in float32.
        """
        self.require_numbers()
        n, scored = self.samples, score or self._scored(copies)
        weights = torch.full((copies,), 1 / copies, dtype=torch.float64) if weights is None else weights
        totals = tuple(torch.zeros_like(leaf, dtype=accumulator(leaf)) for leaf in self.z)

        def body(chunk: slice) -> None:
            rows, copy = self._pairs(chunk)
            gradients = self._gradient_at(scored, points(rows, copy), rows, copy)
            if factors is not None:
                gradients = tuple(map(torch.mul, gradients, factors(rows, copy)))
            weighted = [
                column(weights.to(total)[copy], total) * gradient
                for total, gradient in zip(totals, gradients, strict=True)
            ]
            for total, part in zip(totals, weighted, strict=True):  # nothing is added before all is there
                total.index_add_(0, rows, part)

        self.budget.run(copies * n, f"{kind}{self.place}", body)
        return totals

    def observe(self, copies: int, points: Points, use: Use) -> None:
        """Take the variable and the gradient, from one forward pass, where the inputs are ``copies`` chosen points.

        Args:
            copies: The number of points per sample.
            points: Makes the inputs (those that can vary) for pairs of sample and copy number.
            use: Is given pairs (rows, copies), the variable and the gradient at them; copy by copy.
        """
        self.require_numbers()

        def body(chunk: slice) -> None:
            rows, copy = self._pairs(chunk)
            with torch.enable_grad():
                z, score = self.place.observe(self, points(rows, copy), rows)
                gradients = derivative(self, score, z)
            use(rows, copy, z, gradients)

        self.budget.run(copies * self.samples, f"observe{self.place}", body)

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
        index = torch.arange(chunk.start, chunk.stop, device=leaves(self.inputs)[0].device)
        return index % self.samples, index // self.samples

    def require_numbers(self) -> None:
        """Check that gradients with respect to the variable can exist.

        Raises:
            TypeError: If they cannot, for it holds integers.
        """
        if isinstance(self.place, Replaced):
            return  # a layer's variable is made of numbers
        for name, leaf in zip(self.place.names(self), self.z, strict=True):
            if not is_continuous(leaf):
                raise TypeError(
                    f"{name} holds {leaf.dtype} values, for which there is no gradient. Explain the layer that turns"
                    " them into numbers, place=Layer('<embedding>'), or use a perturbation method such as occlusion."
                )

    def _scored(self, copies: int) -> Score:
        place = shortened(self, copies)
        return lambda z, rows, _: place.score(self, z, rows)

    def _gradient_at(self, score: Score, z: Point, rows: Tensor, copies: Tensor) -> Point:
        with torch.enable_grad():
            z = tuple(differentiable(leaf if self.create_graph else leaf.detach()) for leaf in z)
            return derivative(self, score(z, rows, copies), z)

    def _changed(self, **changes: Any) -> Problem:
        other = replace(self, **changes)
        if "outputs" in vars(self):
            other.__dict__["outputs"] = self.outputs
        return other


def _pick(point: Point, rows: Tensor) -> Point:
    return tuple(leaf.index_select(0, rows) for leaf in point)
