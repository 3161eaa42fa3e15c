"""Statistics of one tensor, or of a tuple of them, updated together."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from lightning_explain.captum.attr._utils.stat import Stat, StatValue
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError

Number = Tensor | float
Summary = dict[str, StatValue | None]


class Summarizer:
    """Statistics of attributions, or of anything that comes as tensors of one shape.

    Args:
        stats: What is wanted. What they are made of is found out.

    Example:
        >>> from lightning_explain.captum.attr._utils.stat import Mean, Max
        >>> summarizer = Summarizer([Mean(), Max()])
        >>> for x in (torch.tensor([1.0, 4.0]), torch.tensor([3.0, 2.0])):
        ...     summarizer.update(x)
        >>> {name: value.tolist() for name, value in summarizer.summary.items()}
        {'mean': [2.0, 3.0], 'max': [3.0, 4.0]}
    """

    def __init__(self, stats: list[Stat]) -> None:
        self._stats = _with_needs(stats)
        self._wanted = [self._stats.index(stat) for stat in dict.fromkeys(stats)]
        self._summarizers: list[SummarizerSingleTensor] = []
        self._is_inputs_tuple: bool | None = None

    def update(self, x: Number | tuple[Number, ...]) -> None:
        """Take another tensor in, or one for each of several inputs.

        Args:
            x: Of the same shapes every time; a tuple every time, or never.

        Raises:
            ArgumentError: If tuples and single tensors are mixed.
            ArgumentTypeError: If it is neither tensor nor number.
        """
        self._require_same_form(isinstance(x, tuple))
        for summarizer, tensor in self._paired(x if isinstance(x, tuple) else (x,)):
            summarizer.update(tensor)

    def update_all(self, inputs: tuple[Tensor, ...]) -> None:
        """Take many samples in, as one tuple of tensors for each.

        Args:
            inputs: (n, ...) for each input; n is at least 1.

        Raises:
            ArgumentError: If single tensors came before.
        """
        self._require_same_form(is_tuple=True)
        for summarizer, tensor in self._paired(inputs):
            summarizer.update_all(tensor)

    @property
    def summary(self) -> Summary | list[Summary] | None:
        """Names and values of the statistics; one such mapping for each input of a tuple; None before the first."""
        if not self._summarizers:
            return None
        summaries = [summarizer.summary for summarizer in self._summarizers]
        return summaries if self._is_inputs_tuple else summaries[0]

    def _require_same_form(self, is_tuple: bool) -> None:
        if self._is_inputs_tuple not in {None, is_tuple}:
            raise ArgumentError(
                "A summarizer takes tuples every time, or never: got"
                f" {'a tuple' if is_tuple else 'a single input'} after {'single inputs' if is_tuple else 'tuples'}."
            )
        self._is_inputs_tuple = is_tuple

    def _paired(self, inputs: Sequence[Number]) -> list[tuple[SummarizerSingleTensor, Tensor]]:
        while len(self._summarizers) < len(inputs):
            self._summarizers.append(SummarizerSingleTensor(copy.deepcopy(self._stats), self._wanted))
        return list(zip(self._summarizers, map(_tensor, inputs), strict=False))


class SummarizerSingleTensor:
    """Statistics of one tensor.

    Args:
        stats: All that are to be updated, those that others need before them.
        summary_stats_indices: Which of them the summary shows.
    """

    def __init__(self, stats: list[Stat], summary_stats_indices: list[int]) -> None:
        self._stats = stats
        self._by_stat = {stat: stat for stat in stats}
        self._summary_stats = [stats[index] for index in summary_stats_indices]
        for stat in stats:
            stat._other_stats = self  # noqa: SLF001  (it is ours to set: statistics know whom they ask)
            stat.init()

    def update(self, x: Tensor) -> None:
        """Take another tensor in.

        Args:
            x: Of the same shape every time.
        """
        for stat in self._stats:
            stat.update(x)

    def update_all(self, xs: Tensor) -> None:
        """Take many tensors in.

        Args:
            xs: (n, ...), n tensors; n is at least 1.
        """
        if any(type(stat).update_all is Stat.update_all for stat in self._stats):
            # One that knows single tensors alone may ask the others for where they are after each.
            for x in xs:
                self.update(x)
            return
        for stat in self._stats:
            stat.update_all(xs)

    def get(self, stat: Stat) -> Stat | None:
        """The statistic of the same class and parameters that is updated here.

        Returns:
            It, or None.
        """
        return self._by_stat.get(stat)

    @property
    def summary(self) -> Summary:
        """Names and values of the statistics."""
        return {stat.name: stat.get() for stat in self._summary_stats}


def _with_needs(stats: Iterable[Stat]) -> list[Stat]:
    # Depth first: whatever is needed stands before whoever needs it, and nothing twice.
    ordered: dict[Stat, None] = {}

    def place(stat: Stat) -> None:
        if stat not in ordered:
            for need in stat.needs:
                place(need)
            ordered[stat] = None

    for stat in stats:
        place(stat)
    return list(ordered)


def _tensor(x: Number) -> Tensor:
    if isinstance(x, Tensor):
        return x
    if isinstance(x, (int, float)):
        return torch.tensor(x, dtype=torch.float)
    raise ArgumentTypeError(f"Expected a tensor or a number, got {type(x).__name__}.")
