"""Texts made from a template, whose features are what is filled in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from lightning_explain.captum.attr._utils.interpretable_input.interpretable import InterpretableInput
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError

Values = list[str] | dict[str, str]


class TextTemplateInput(InterpretableInput):
    """A text made from a template: where a feature is absent, its baseline is filled in.

    Args:
        template: As for ``str.format``, or a function that takes the values and gives the text.
        values: What is filled in, by place or by name.
        baselines: What is filled in where a feature is absent, in the form of the values; or a function that gives
            it, called for each text. None: nothing.
        mask: A number for each value, in the form of the values: those of one number are one feature.

    Raises:
        ArgumentError: If the forms of values, baselines and mask differ.
        ArgumentTypeError: If one of them is of another type.

    Example:
        >>> text = TextTemplateInput("{} feels {}.", ["He", "sad"], baselines=["It", "fine"])
        >>> text.to_model_input(torch.tensor([[0, 1]]))
        'It feels sad.'
    """

    def __init__(
        self,
        template: str | Callable[..., str],
        values: Values,
        baselines: Values | Callable[[], Values] | None = None,
        mask: list[int] | dict[str, int] | None = None,
    ) -> None:
        if not isinstance(values, (list, dict)):
            raise ArgumentTypeError(f"Expected values as a list or a dict, got {type(values).__name__}.")
        self._form: type = dict if isinstance(values, dict) else list
        self.dict_keys = list(values) if isinstance(values, dict) else []
        self.values = self._listed(values, "values")
        self.n_features = len(self.values)
        if baselines is None:
            baselines = [""] * self.n_features
        elif not callable(baselines):
            baselines = self._listed(baselines, "baselines")
        self.baselines: list[str] | Callable[[], Values] = baselines
        self.mask: list[int] | None = None if mask is None else self._listed(mask, "the mask")
        numbers = list(range(self.n_features)) if self.mask is None else self.mask
        dense = {number: index for index, number in enumerate(sorted(set(numbers)))}
        self.formatted_mask = [dense[number] for number in numbers]
        self.n_itp_features = len(dense)
        self.template = template
        self.format_fn: Callable[..., str] = _formatter(template)

    def to_tensor(self) -> Tensor:
        """All features there.

        Returns:
            Ones, (1, features).
        """
        return torch.ones(1, self.n_itp_features)

    def to_model_input(self, perturbed_tensor: Tensor | None = None) -> str:
        """The text.

        Args:
            perturbed_tensor: (1, features): which of them are there, by not being zero. None: all.

        Returns:
            The text with the baselines of the others.
        """
        values = self.values
        if perturbed_tensor is not None:
            there = (perturbed_tensor[0] != 0).tolist()
            baselines = self._listed(self.baselines(), "baselines") if callable(self.baselines) else self.baselines
            filled = zip(self.formatted_mask, values, baselines, strict=True)
            values = [value if there[feature] else baseline for feature, value, baseline in filled]
        if self._form is dict:
            return self.format_fn(**dict(zip(self.dict_keys, values, strict=True)))
        return self.format_fn(*values)

    def format_attr(self, itp_attr: Tensor) -> Tensor:
        """Attributions of all values.

        Args:
            itp_attr: (..., features).

        Returns:
            (..., values).
        """
        return itp_attr if self.mask is None else itp_attr[..., self.formatted_mask]

    def _listed(self, given: object, what: str) -> list[Any]:
        if not isinstance(given, self._form):
            raise ArgumentTypeError(
                f"Values are a {self._form.__name__}, so must {what} be; got {type(given).__name__}."
            )
        if isinstance(given, dict):
            if set(given) != set(self.dict_keys):
                raise ArgumentError(f"Expected {what} for {self.dict_keys}, got {list(given)}.")
            return [given[key] for key in self.dict_keys]
        listed: list[Any] = list(cast("list[Any]", given))
        if hasattr(self, "n_features") and len(listed) != self.n_features:
            raise ArgumentError(f"Expected {what} for {self.n_features} values, got {len(listed)}.")
        return listed


def _formatter(template: str | Callable[..., str]) -> Callable[..., str]:
    if isinstance(template, str):
        return template.format
    if not callable(template):
        raise ArgumentTypeError(f"Expected a template or a function that fills one in, got {type(template).__name__}.")
    return template
