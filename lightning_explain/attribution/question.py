"""What is asked: a model, samples, what is explained and where; and what is known of them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import EllipsisType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lightning_explain.attribution.budget import Body, RowBudget
from lightning_explain.attribution.features import Features
from lightning_explain.attribution.memory import RowSize
from lightning_explain.attribution.model import Forward, call
from lightning_explain.attribution.place import Input, Neuron, Place
from lightning_explain.attribution.remembering import Remembering
from lightning_explain.attribution.sweep import outputs_and_variable_of, outputs_of, variable_of, variable_of_alike
from lightning_explain.attribution.tail import is_replaced
from lightning_explain.attribution.target import Readout
from lightning_explain.attribution.unresolved import Unresolved
from lightning_explain.feature_mask import select as select_mask
from lightning_explain.inputs import Inputs, Point, batch_size, is_continuous, leaves, pick, take, varied

Q = TypeVar("Q", bound="Question")


@dataclass(frozen=True, eq=False)
class Question(Remembering):
    """What is explained and where, and what is known of it: the variable ``z``, its baseline ``z0``, the outputs.

    What is computed is remembered; problems that follow from this one are given what still holds for them.

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
        about: Which inputs attributions are about, by number; the others are held fixed. None: those with floating
            point values, or all if none has such values. What is chosen is never refused for being its own baseline.
        zero_where_unused: Whether the gradient is zero where the score does not depend on the variable; otherwise that
            is refused, for it is a mistake more often than not.
        tails: Where only the part of the model that lies behind a place is run, once it was tried: for these samples
            and no others, and for the model as it was then.
        counted: What was counted in forward passes: how often a layer runs, how many tensors each of several has.
        unresolved: The target, where it is resolved on the way; None: ``target`` says what it is.
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
    about: tuple[int, ...] | None = None
    zero_where_unused: bool = False
    tails: dict[Place, Place] = field(default_factory=dict, repr=False)
    counted: dict[Hashable, Any] = field(default_factory=dict, repr=False)
    unresolved: Unresolved | None = field(default=None, repr=False)

    @property
    def samples(self) -> int:
        """The number of samples n."""
        return batch_size(self.inputs)

    @property
    def varied(self) -> tuple[int, ...]:
        """The numbers of the inputs that attributions are about."""
        return tuple(varied(self.inputs)) if self.about is None else self.about

    @cached_property
    def z(self) -> Point:
        """The variable of the place at the inputs, (n, ...) each."""
        return variable_of(self, self.inputs)

    @cached_property
    def z0(self) -> Point:
        """The variable of the place at the baseline, (n, ...) each.

        Raises:
            ValueError: If it is that at the samples, for integers that are held fixed.
        """
        z0 = variable_of_alike(self, self.baseline)
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
        if is_replaced(self.place) and not self.create_graph and "z" not in vars(self):
            outputs, z = outputs_and_variable_of(self)
            self.remember(z=z)
            return outputs
        return outputs_of(self)

    def run(self, total: int, kind: str, body: Body) -> None:
        """Do rows chunk by chunk, by the row budget.

        Args:
            total: The number of rows.
            kind: What the work is.
            body: Does the rows of one slice.
        """
        self.budget.run(total, kind, body, lambda: RowSize.of(self.model, leaves(self.inputs)))

    def remember(self, **known: Point | Tensor) -> None:
        """Take what is known (``z``, its ``slope``, the gradient there, ``outputs``): it is not computed again."""
        self.__dict__.update(known)

    def select(self: Q, rows: Tensor) -> Q:
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
        chosen.__dict__.update({name: pick(known[name], rows) for name in ("z", "z0", "slope") if name in known})
        chosen.__dict__.update({
            name: known[name][rows] for name in ("outputs", "value", "baseline_value") if name in known
        })
        return chosen

    def anew(self: Q) -> Q:
        """The same question, of which nothing is known: for when the model's parameters are not what they were.

        Returns:
            A problem that remembers nothing, and shares nothing with this one that a pass of the model told.
        """
        return replace(self, tails={}, counted={})

    def at(self: Q, place: Place, target: Tensor | EllipsisType | None = ...) -> Q:
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

    def masked(self: Q, feature_mask: Inputs | None) -> Q:
        """The same problem with other features.

        Returns:
            A problem that knows what the model gives, if this one does.
        """
        return self._changed(feature_mask=feature_mask)

    def reading(self: Q, readout: Readout) -> Q:
        """The same problem, the explained number read in another way.

        Returns:
            A problem that knows the variable, and what the model gives, if this one does.
        """
        return self._changed(readout=readout)

    def with_inputs(self: Q, inputs: Inputs) -> Q:
        """The same problem, target and baseline, for other inputs.

        Returns:
            A problem with as many samples; it knows the variable at the baseline, if this one does.
        """
        other = replace(self, inputs=inputs, tails={})
        if "z0" in vars(self):
            other.remember(z0=self.z0)
        return other

    def require_numbers(self) -> None:
        """Check that gradients with respect to the variable can exist.

        Raises:
            TypeError: If they cannot, for it holds integers.
        """
        if is_replaced(self.place):
            return  # a layer's variable is made of numbers
        for name, leaf in zip(self.place.names(self), self.z, strict=True):
            if not is_continuous(leaf):
                raise TypeError(
                    f"{name} holds {leaf.dtype} values, for which there is no gradient. Explain the layer that turns"
                    " them into numbers, place=Layer('<embedding>'), or use a perturbation method such as occlusion."
                )

    def refuse_graph(self, what: str) -> None:
        """Check that nobody is to train on attributions that do not have the right gradient.

        Args:
            what: What is computed, to begin a message with.

        Raises:
            ValueError: If they are to be trained on.
        """
        if self.create_graph:
            raise ValueError(f"{what} cannot be trained on: leave out create_graph=True.")

    def settled(self: Q) -> Q:
        """The same problem, once the samples have gone through the model: its target and its outputs are known.

        Returns:
            A problem that remembers what this one does; this one, if there is nothing to settle.
        """
        if self.unresolved is None:
            return self
        self.resolve()
        other = replace(self, target=self.unresolved.indices, unresolved=None)
        other.__dict__.update({name: known for name, known in vars(self).items() if name not in vars(other)})
        other._memory.update(self._memory)  # noqa: SLF001  (of another of this class)
        return other

    def resolve(self) -> None:
        """Resolve a target that nothing has resolved on the way, by a pass of its own."""
        if self.unresolved is None:
            return
        if self.unresolved.outputs is None:
            self.unresolved.index(self.outputs, torch.arange(self.samples, device=self.outputs.device))
        self.remember(outputs=self.unresolved.outputs)  # type: ignore[arg-type]  # all samples are known now

    @property
    def _holds_ids_fixed(self) -> bool:
        """Whether integers are their own baseline, and samples are not simply blank otherwise."""
        if self.about is not None:  # somebody chose what is explained, and its baseline
            return False
        pairs = list(zip(leaves(self.inputs), leaves(self.baseline), strict=True))
        ids = [torch.equal(leaf, base) for leaf, base in pairs if not is_continuous(leaf)]
        blank = [torch.equal(leaf, base) for leaf, base in pairs if is_continuous(leaf)]
        return any(ids) and not (blank and all(blank))

    def _changed(self: Q, **changes: Any) -> Q:
        other = replace(self, **changes)
        kept = {"outputs"} if "place" in changes else {"outputs", "z", "z0", "difference"}
        kept |= set() if changes.keys() & {"place", "feature_mask"} else {"features"}
        other.__dict__.update({name: known for name, known in vars(self).items() if name in kept})
        return other
