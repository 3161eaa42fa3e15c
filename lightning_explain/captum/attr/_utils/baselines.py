"""Baselines that are drawn feature by feature."""

from __future__ import annotations

from typing import Any

import torch

from lightning_explain.captum.errors import ArgumentError
from lightning_explain.randomness import stream


class ProductBaselines:
    """A baseline whenever it is called: one value for each feature, drawn evenly and apart from the others.

    Random numbers come from a generator of its own, which begins as ``torch.manual_seed`` says.

    Args:
        baseline_values: For each feature the values to draw from: a list of lists, or lists by the feature's name.
            A tuple of names draws for several features at once, from tuples of values.

    Raises:
        ArgumentError: If a feature has nothing to draw from.

    Example:
        >>> sorted(ProductBaselines({"hue": ["red"], ("x", "y"): [(1, 2)]})().items())
        [('hue', 'red'), ('x', 1), ('y', 2)]
    """

    def __init__(self, baseline_values: list[list[Any]] | dict[str | tuple[str, ...], list[Any]]) -> None:
        self.dict_keys: list[str | tuple[str, ...]] = []
        if isinstance(baseline_values, dict):
            self.dict_keys, baseline_values = list(baseline_values), list(baseline_values.values())
        self.baseline_values: list[list[Any]] = baseline_values
        if not all(len(values) for values in self.baseline_values):
            raise ArgumentError("Every feature needs at least one value to draw its baseline from.")
        self._generator = stream("product baselines", torch.initial_seed())

    def sample(self) -> list[Any] | dict[str, Any]:
        """Draw a baseline.

        Returns:
            One value for each feature: a list, or by name where names were given.
        """
        drawn = [values[self._below(len(values))] for values in self.baseline_values]
        if not self.dict_keys:
            return drawn
        baseline: dict[str, Any] = {}
        for names, value in zip(self.dict_keys, drawn, strict=True):
            baseline.update(zip(names, value, strict=True) if isinstance(names, tuple) else ((names, value),))
        return baseline

    def __call__(self) -> list[Any] | dict[str, Any]:
        """Draw a baseline.

        Returns:
            As :meth:`sample`.
        """
        return self.sample()

    def _below(self, end: int) -> int:
        return int(torch.randint(end, (), generator=self._generator))
