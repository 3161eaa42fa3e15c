"""Statistics for each class, and of all samples."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from torch import Tensor

from lightning_explain.captum.attr._utils.stat import Stat
from lightning_explain.captum.attr._utils.summarizer import Summarizer, Summary
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError

KeyType = TypeVar("KeyType", bound=Hashable)


class ClassSummarizer(Summarizer, Generic[KeyType]):
    """Statistics of the samples of each class, and of all of them.

    Args:
        stats: What is wanted.
    """

    def __init__(self, stats: list[Stat]) -> None:
        super().__init__(stats)
        self._asked = stats
        self.summaries: dict[KeyType, Summarizer] = {}

    def update(  # type: ignore[override]  # with labels, the first dimension is the samples
        self,
        x: Tensor | tuple[Tensor, ...],
        labels: KeyType | list[KeyType] | Tensor | None = None,
    ) -> None:
        """Take samples in.

        Args:
            x: (n, ...), or a tuple of such: one value of each statistic per sample. Without labels: as a whole.
            labels: One for all samples, or a list or tensor of one for each; elements of tensors count by their
                values. None: no class is told.

        Raises:
            ArgumentError: If there is neither one label nor one for each sample.
            ArgumentTypeError: If the inputs are no tensors.
        """
        if labels is None:
            super().update(x)
            return
        inputs = x if isinstance(x, tuple) else (x,)
        rows: dict[KeyType, list[int]] = {}
        for row, label in enumerate(_labels(inputs, labels)):
            rows.setdefault(label, []).append(row)
        for label, own in rows.items():
            summarizer = self.summaries.setdefault(label, Summarizer(self._asked))
            summarizer.update_all(tuple(tensor[own] for tensor in inputs))
        if rows:
            self.update_all(inputs)

    @property
    def class_summaries(self) -> dict[KeyType, Summary | list[Summary] | None]:
        """The summary of each class that came."""
        return {label: summarizer.summary for label, summarizer in self.summaries.items()}


def _labels(inputs: tuple[Tensor, ...], labels: KeyType | list[KeyType] | Tensor) -> list[KeyType]:
    if not all(isinstance(tensor, Tensor) for tensor in inputs):
        raise ArgumentTypeError(
            f"Expected a tensor or a tuple of tensors, got {', '.join(type(x).__name__ for x in inputs)}."
        )
    given = labels.reshape(-1).tolist() if isinstance(labels, Tensor) else labels
    listed = given if isinstance(given, list) else [given]
    sizes = {len(tensor) for tensor in inputs}
    if len(listed) == 1 and len(sizes) == 1:
        return listed * sizes.pop()
    if sizes != {len(listed)}:
        raise ArgumentError(
            f"Expected one label, or one for each sample: {len(listed)} labels, and inputs of"
            f" {', '.join(map(str, sorted(sizes)))} samples."
        )
    return listed
