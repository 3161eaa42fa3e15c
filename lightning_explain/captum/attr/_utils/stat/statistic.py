"""What all statistics have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

if TYPE_CHECKING:
    from lightning_explain.captum.attr._utils.summarizer import SummarizerSingleTensor

StatValue = Tensor | int | float
_S = TypeVar("_S", bound="Stat")


class Stat:
    """A number, or a tensor of them, that knows how to go on when another tensor comes.

    A statistic that is made of others names them in :attr:`needs` and reads them with ``_get_stat``; the summarizer
    that it is given to updates each once, those that are needed first.

    Args:
        name: Its key in a summary. The class's name with its parameters where there is none.
        kwargs: Its parameters: statistics of the same class and parameters are the same.
    """

    def __init__(self, name: str | None = None, **kwargs: Any) -> None:
        self.params: dict[str, Any] = kwargs
        self._name = name
        self._other_stats: SummarizerSingleTensor | None = None

    @property
    def name(self) -> str:
        """The key of the statistic in a summary."""
        if self._name is not None:
            return self._name
        name = type(self).__name__.lower()
        return f"{name}({self.params})" if self.params else name

    @property
    def needs(self) -> Sequence[Stat]:
        """The statistics that must be updated before this one: new ones, of the class and the parameters needed."""
        return ()

    def init(self) -> None:
        """Get ready; called once the summarizer holds all statistics."""

    def update(self, x: Tensor) -> None:
        """Take another tensor in.

        Args:
            x: Any shape, the same every time.

        Raises:
            NotImplementedError: If the class does not say how.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update(x).")

    def update_all(self, xs: Tensor) -> None:
        """Take many tensors in, one after the other or at once.

        Args:
            xs: (n, ...), n tensors; n is at least 1.
        """
        for x in xs:
            self.update(x)

    def get(self) -> StatValue | None:
        """The statistic of all tensors that came.

        Returns:
            It; None before the first.

        Raises:
            NotImplementedError: If the class does not say how.
        """
        raise NotImplementedError(f"{type(self).__name__} must define get().")

    def _get_stat(self, stat: _S) -> _S:
        found = None if self._other_stats is None else self._other_stats.get(stat)
        if not isinstance(found, type(stat)):
            raise RuntimeError(
                f"{type(self).__name__} is made of {stat.name!r}, which a Summarizer brings along:"
                f" Summarizer([{type(self).__name__}()]).update(x)."
            )
        return found

    def __hash__(self) -> int:
        return hash((type(self), frozenset(self.params.items())))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stat) and type(self) is type(other) and self.params == other.params
