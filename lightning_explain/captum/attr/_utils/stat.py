"""Statistics of tensors that come one after the other, elementwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lightning_explain.captum.attr._utils.summarizer import SummarizerSingleTensor

StatValue = Tensor | int | float
Combine = Callable[[Tensor, Tensor], Tensor]
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


class Count(Stat):
    """How many tensors came."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name=name)
        self.n: int | None = None

    def update(self, x: Tensor) -> None:
        """Count one more."""
        self.n = (self.n or 0) + 1

    def get(self) -> int | None:
        """How many tensors came.

        Returns:
            Their number; None before the first.
        """
        return self.n


class Mean(Stat):
    """The mean, which moves by the n-th part of how far the n-th tensor is from it.

    B. P. Welford: Note on a Method for Calculating Corrected Sums of Squares and Products. Technometrics 4, 1962.
    Integers are averaged in float64, half precisions in float32.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name=name)
        self.rolling_mean: Tensor | None = None

    @property
    def needs(self) -> Sequence[Stat]:
        """The number of tensors."""
        return (Count(),)

    def update(self, x: Tensor) -> None:
        """Move the mean."""
        n, x = self._get_stat(Count()).get() or 1, _floating(x)
        self.rolling_mean = x.clone() if self.rolling_mean is None else self.rolling_mean + (x - self.rolling_mean) / n

    def get(self) -> Tensor | None:
        """The mean.

        Returns:
            Of the tensors' shape; None before the first.
        """
        return self.rolling_mean


class MSE(Stat):
    r"""The sum of squared distances from the mean, :math:`\sum_i (x_i - \bar x)^2`, not divided by anything.

    Each tensor adds its distance from the mean before it times that from the mean after it: no difference of large
    numbers is taken (Welford, as above).
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name=name)
        self.mse: Tensor | None = None
        self._before: Tensor | None = None

    @property
    def needs(self) -> Sequence[Stat]:
        """The mean."""
        return (Mean(),)

    def update(self, x: Tensor) -> None:
        """Add what the tensor is away from the means before and after it."""
        mean = self._get_stat(Mean()).get()
        if mean is None:
            return
        if self._before is None or self.mse is None:
            self.mse = torch.zeros_like(mean)
        else:
            self.mse = self.mse + (x.detach() - self._before) * (x.detach() - mean)
        self._before = mean

    def get(self) -> Tensor | None:
        """The sum of squares.

        Returns:
            Of the tensors' shape; None before the first.
        """
        return self.mse


class Var(Stat):
    """The variance: the sum of squared distances from the mean, divided by ``n - order``.

    Args:
        name: Its key; ``"variance"``, ``"sample_variance"`` or ``"variance(order)"`` where there is none.
        order: 0: of the tensors that came; 1: unbiased, of what they were drawn from.
    """

    def __init__(self, name: str | None = None, order: int = 0) -> None:
        super().__init__(
            name=name or {0: "variance", 1: "sample_variance"}.get(order, f"variance({order})"), order=order
        )
        self.order = order

    @property
    def needs(self) -> Sequence[Stat]:
        """The sum of squares, and the number of tensors."""
        return (MSE(), Count())

    def update(self, x: Tensor) -> None:
        """Nothing is left to do."""

    def get(self) -> Tensor | None:
        """The variance.

        Returns:
            Of the tensors' shape, float64; 0 where no more than ``order`` tensors came; None before the first.
        """
        squares, n = self._get_stat(MSE()).get(), self._get_stat(Count()).get() or 0
        if squares is None:
            return None
        return squares.to(torch.float64) / (n - self.order) if n > self.order else torch.zeros_like(squares)


class StdDev(Stat):
    """The standard deviation: the square root of the variance.

    Args:
        name: Its key; ``"std_dev"``, ``"sample_std_dev"`` or ``"std_dev(order)"`` where there is none.
        order: That of the variance.
    """

    def __init__(self, name: str | None = None, order: int = 0) -> None:
        usual = {0: "std_dev", 1: "sample_std_dev"}.get(order, f"std_dev({order})")
        super().__init__(name=name or usual, order=order)
        self.order = order

    @property
    def needs(self) -> Sequence[Stat]:
        """The variance of the same order."""
        return (Var(order=self.order),)

    def update(self, x: Tensor) -> None:
        """Nothing is left to do."""

    def get(self) -> Tensor | None:
        """The standard deviation.

        Returns:
            Of the tensors' shape; None before the first.
        """
        variance = self._get_stat(Var(order=self.order)).get()
        return None if variance is None else variance.sqrt()


class GeneralAccumFn(Stat):
    """What a function of two tensors makes of all of them, one after the other.

    Args:
        fn: Of what there is and of the next one.
        name: Its key in a summary.
    """

    def __init__(self, fn: Combine, name: str | None = None) -> None:
        super().__init__(name=name)
        self.fn = fn
        self.result: Tensor | None = None

    def update(self, x: Tensor) -> None:
        """Combine what there is with the next one."""
        x = x.detach()
        # A copy: the first tensor is the user's, who may write to it before the next one comes.
        self.result = x.clone() if self.result is None else self.fn(self.result, x)

    def get(self) -> Tensor | None:
        """What was made of them.

        Returns:
            Of the tensors' shape; None before the first.
        """
        return self.result


class Min(GeneralAccumFn):
    """The smallest value of every element.

    Args:
        name: Its key in a summary.
        min_fn: Of two tensors.
    """

    def __init__(self, name: str | None = None, min_fn: Combine = torch.min) -> None:
        super().__init__(fn=min_fn, name=name)


class Max(GeneralAccumFn):
    """The largest value of every element.

    Args:
        name: Its key in a summary.
        max_fn: Of two tensors.
    """

    def __init__(self, name: str | None = None, max_fn: Combine = torch.max) -> None:
        super().__init__(fn=max_fn, name=name)


class Sum(GeneralAccumFn):
    """The sum of every element.

    Args:
        name: Its key in a summary.
        add_fn: Of two tensors.
    """

    def __init__(self, name: str | None = None, add_fn: Combine = torch.add) -> None:
        super().__init__(fn=add_fn, name=name)


def CommonStats() -> list[Stat]:  # noqa: N802  (Captum's name)
    """The usual ones: mean, sample variance, sample standard deviation, smallest and largest value.

    Returns:
        New statistics, for one summarizer.
    """
    return [Mean(), Var(order=1), StdDev(order=1), Min(), Max()]


def _floating(x: Tensor) -> Tensor:
    x = x.detach()
    if not x.is_floating_point():
        return x.double()
    return x.float() if x.dtype in {torch.float16, torch.bfloat16} else x
