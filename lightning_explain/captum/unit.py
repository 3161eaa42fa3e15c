"""Captum's neuron selectors: which unit of a layer is explained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError, SelectionError
from lightning_explain.captum.selecting import Index, taken
from lightning_explain.inputs import Point

Selector: TypeAlias = int | tuple[Index, ...] | Callable[[Tensor | Point], Tensor]


@dataclass(frozen=True, eq=False)
class Unit:
    """Reads a unit, the sum of several, or what a function makes of a layer.

    Args:
        selector: An integer; a tuple of integers and slices, one for each dimension after the first; or a function of
            what goes through the layer, a tensor or, where there are several, a tuple.

    Raises:
        ArgumentTypeError: If it is none of these.
    """

    selector: Selector

    def __post_init__(self) -> None:
        given = self.selector
        parts = given if isinstance(given, tuple) else (given,)
        if not callable(given) and not all(isinstance(part, (int, slice)) for part in parts):
            raise ArgumentTypeError(
                "neuron_selector is an integer, a tuple of integers and slices, or a function of what goes through the"
                f" layer; got {given!r}."
            )

    def __call__(self, activation: Tensor | Point) -> Tensor:
        """Read the unit.

        Args:
            activation: What goes through the layer, (n, ...).

        Returns:
            The unit of each sample, (n,); what a function gives, if that is one number for all.

        Raises:
            ArgumentError: If several units are meant by integers, or one of several tensors is.
            SelectionError: If there is no such unit.
        """
        if callable(self.selector):
            return self._made(self.selector(activation), activation)
        if not isinstance(activation, Tensor):
            raise ArgumentError(
                f"{len(activation)} tensors go through the layer, and an index does not say in which the neuron is:"
                " give a function of them as neuron_selector."
            )
        index = self.selector if isinstance(self.selector, tuple) else (self.selector,)
        try:
            units = taken(activation, index)
        except SelectionError:
            raise SelectionError(
                f"The neuron {index[:8]} is not in a layer of shape {tuple(activation.shape)}; give an index for each"
                f" of the {activation.ndim - 1} dimension(s) after the first."
            ) from None
        if units[0].numel() > 1 and not any(isinstance(part, slice) for part in index):
            raise ArgumentError(
                f"The neuron {self.selector} of a layer of shape {tuple(activation.shape)} is {units[0].numel()} units:"
                f" give {activation.ndim - 1} integers, or slices for units that are to be added up."
            )
        return units.flatten(1).sum(dim=1) if units.ndim > 1 else units

    @staticmethod
    def _made(unit: Tensor, activation: Tensor | Point) -> Tensor:
        samples = len(activation if isinstance(activation, Tensor) else activation[0])
        if unit.numel() == 1 < samples:
            return unit
        if unit.numel() != samples:
            raise ArgumentError(
                f"The neuron_selector function made {tuple(unit.shape)} of {samples} samples; expected one number for"
                " each, or one for all."
            )
        return unit.reshape(samples)
