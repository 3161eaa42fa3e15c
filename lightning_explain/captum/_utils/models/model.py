"""What a model must be able to do to explain another one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from torch import Tensor


class Model(ABC):
    """A model that is fitted to another one's answers and says what it found."""

    @abstractmethod
    def fit(self, train_data: Iterable[Any], **kwargs: Any) -> dict[str, float] | None:
        """Fit it.

        Args:
            train_data: Batches (x, y) or (x, y, weights).
            kwargs: How.

        Returns:
            What there is to say of it, such as the time it took.
        """

    @abstractmethod
    def representation(self) -> Tensor:
        """What it found.

        Returns:
            Such as the coefficients of a linear model.
        """

    @abstractmethod
    def __call__(self, x: Any) -> Any:  # noqa: ANN401  (a tensor, or a tuple of them)
        """Predict.

        Args:
            x: A batch.

        Returns:
            The predictions.
        """
