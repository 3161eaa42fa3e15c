"""Counts, means and variances, kept up to date."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_explain.captum.attr._utils.stat.statistic import Stat


class Count(Stat):
    """How many tensors came."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name=name)
        self.n: int | None = None

    def update(self, x: Tensor) -> None:
        """Count one more."""
        self.update_all(x[None])

    def update_all(self, xs: Tensor) -> None:
        """Count (n, ...) as n."""
        self.n = (self.n or 0) + len(xs)

    def get(self) -> int | None:
        """How many tensors came.

        Returns:
            Their number; None before the first.
        """
        return self.n


class Mean(Stat):
    """The mean, which moves by the n-th part of how far the n-th tensor is from it; k tensors move it k parts.

    B. P. Welford: Note on a Method for Calculating Corrected Sums of Squares and Products. Technometrics 4, 1962; for
    several tensors at once T. F. Chan, G. H. Golub, R. J. LeVeque: Updating Formulae and a Pairwise Algorithm for
    Computing Sample Variances. Stanford STAN-CS-79-773, 1979.
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
        self.update_all(x[None])

    def update_all(self, xs: Tensor) -> None:
        """Move the mean by (n, ...)."""
        n, mean, here = self._get_stat(Count()).get() or len(xs), self.rolling_mean, _floating(xs).mean(dim=0)
        self.rolling_mean = here if mean is None else mean + (here - mean) * (len(xs) / n)

    def get(self) -> Tensor | None:
        """The mean.

        Returns:
            Of the tensors' shape; None before the first.
        """
        return self.rolling_mean


class MSE(Stat):
    r"""The sum of squared distances from the mean, :math:`\sum_i (x_i - \bar x)^2`, not divided by anything.

    Each tensor adds its distance from the mean before it times that from the mean after it: no difference of large
    numbers is taken. Several at once add the sum of squares around their own mean, and the same of that mean, as often
    as they are (as above).
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
        self.update_all(x[None])

    def update_all(self, xs: Tensor) -> None:
        """Add what (n, ...) are away from the means before and after them."""
        xs = _floating(xs)
        here, mean = xs.mean(dim=0), self._get_stat(Mean()).get()
        # Of one tensor that is zero, also where it is not finite.
        added = (xs - here).square().sum(dim=0) if len(xs) > 1 else torch.zeros_like(here)
        if self.mse is not None and self._before is not None and mean is not None:
            added = self.mse + added + (here - self._before) * (here - mean) * len(xs)
        self.mse, self._before = added, mean

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

    def update_all(self, xs: Tensor) -> None:
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

    def update_all(self, xs: Tensor) -> None:
        """Nothing is left to do."""

    def get(self) -> Tensor | None:
        """The standard deviation.

        Returns:
            Of the tensors' shape; None before the first.
        """
        variance = self._get_stat(Var(order=self.order)).get()
        return None if variance is None else variance.sqrt()


def _floating(x: Tensor) -> Tensor:
    x = x.detach()
    if not x.is_floating_point():
        return x.double()
    return x.float() if x.dtype in {torch.float16, torch.bfloat16} else x
