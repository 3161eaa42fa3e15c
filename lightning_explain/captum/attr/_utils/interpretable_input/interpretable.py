"""What all inputs have in common whose features a tensor can only name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor


class InterpretableInput(ABC):
    """An input and its features: a tensor says which are there, and the input is made without the others.

    M. T. Ribeiro, S. Singh, C. Guestrin: "Why Should I Trust You?". arXiv:1602.04938, 2016, section 3.1.
    """

    n_itp_features: int
    """How many features there are."""
    values: list[str]
    """Their names, or what they are."""

    @abstractmethod
    def to_tensor(self) -> Tensor:
        """All features there.

        Returns:
            Ones, (1, features).
        """

    @abstractmethod
    def to_model_input(self, perturbed_tensor: Tensor | None = None) -> Any:  # noqa: ANN401  (whatever the model takes)
        """What the model is given.

        Args:
            perturbed_tensor: (1, features): which of them are there. None: all.

        Returns:
            The input without the others.
        """

    def format_attr(self, itp_attr: Tensor) -> Tensor:
        """Attributions as the input shows them.

        Args:
            itp_attr: (..., features).

        Returns:
            (..., values): features that stand for several values are repeated.
        """
        return itp_attr
