"""What goes with the samples, for several copies of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Repetition:
    """Which copies there are of the rows of a batch.

    Args:
        times: How many copies of each row.
        samples: The number of samples n: what has as many rows goes with them, and nothing else does; None: whatever
            has rows does.
        in_place: Whether the copies of a row stand together; otherwise the whole batch is repeated behind itself.
        drawn: The baseline of each copy, by number, (n * times,), where baselines are a distribution.
    """

    times: int
    samples: int | None = None
    in_place: bool = True
    drawn: Tensor | None = None

    def of(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The keyword arguments of ``attribute``, for the copies.

        Returns:
            Keyword arguments.
        """
        repeated = dict(arguments)
        for name, repeat in (
            ("additional_forward_args", self.each),
            ("target", self.target),
            ("baselines", self.beside if self.drawn is None else self._of_distribution),
            ("feature_mask", self.beside),
        ):
            if repeated.get(name) is not None:
                repeated[name] = repeat(repeated[name])
        return repeated

    def each(self, given: Any) -> Any:  # noqa: ANN401
        """Repeat the rows of tensors.

        Args:
            given: A tensor, a tuple of them, or anything else.

        Returns:
            The same for the copies; what does not go with the samples is as it was.
        """
        if isinstance(given, tuple):
            return tuple(map(self._one, given))
        return self._one(given)

    def beside(self, given: Any) -> Any:  # noqa: ANN401
        """Repeat baselines or feature masks, of which a single row stands for all samples.

        Returns:
            The same for the copies.
        """
        return given if self.samples == 1 else self.each(given)

    def target(self, target: Any) -> Any:  # noqa: ANN401
        """Repeat the target of each sample.

        Returns:
            A target of the same kind; one that is for all samples is as it was.
        """
        if isinstance(target, list):
            return self._listed(target)
        return self._one(target) if is_for_each(target) else target

    def _one(self, given: Any) -> Any:  # noqa: ANN401
        if self.times == 1 or not has_rows(given) or self.samples not in {None, len(given)}:
            return given
        return given.repeat_interleave(self.times, dim=0) if self.in_place else torch.cat([given] * self.times)

    def _listed(self, target: list[Any]) -> list[Any]:
        if self.samples not in {None, len(target)}:
            return target
        return [index for index in target for _ in range(self.times)] if self.in_place else target * self.times

    def _of_distribution(self, given: Any) -> Any:  # noqa: ANN401
        if isinstance(given, tuple):
            return tuple(map(self._of_distribution, given))
        return given.index_select(0, self.drawn.to(given.device)) if has_rows(given) else given  # type: ignore[union-attr]


def has_rows(given: object) -> bool:
    """Whether something has rows, one for each sample perhaps.

    Returns:
        True for tensors of at least one dimension.
    """
    return isinstance(given, Tensor) and given.ndim > 0


def is_for_each(target: object) -> bool:
    """Whether each sample has a target of its own.

    Returns:
        True for lists, and tensors of several numbers.
    """
    return isinstance(target, list) or (isinstance(target, Tensor) and target.numel() > 1)
