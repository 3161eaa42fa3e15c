"""DeepLift's multipliers of softmax, its logarithm and its normaliser."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_explain.attribution.rules.pair import Pair
from lightning_explain.attribution.rules.pullback import Pullback


def softmax(pair: Pair) -> Pullback:
    r"""Softmax as :math:`\exp(x - \log \sum \exp x)`, each part by the quotient of differences.

    Returns:
        The backward step.
    """
    found = _Normalized.of(pair, pair.out, pair.out0)
    share, factor = found.share, found.mean

    def pullback(gradient: Tensor) -> tuple[Tensor, ...]:
        scaled = gradient * factor
        return (torch.addcmul(scaled, share, scaled.sum(dim=found.dim, keepdim=True), value=-1),)

    return pullback


def log_softmax(pair: Pair) -> Pullback:
    r"""The difference of x and :math:`\log \sum \exp x`.

    Returns:
        The backward step.
    """
    found = _Normalized.of(pair, pair.out.exp(), pair.out0.exp())
    dim, share = found.dim, found.share
    return lambda gradient: (torch.addcmul(gradient, share, gradient.sum(dim=dim, keepdim=True), value=-1),)


def logsumexp(pair: Pair) -> Pullback:
    """Each exponential by the quotient of differences, and so the logarithm of their sum.

    Returns:
        The backward step.
    """
    dim = _dim(pair)
    share = _Normalized.of(pair, *(x.softmax(dim) for (x,) in (pair.inputs, pair.inputs0))).share
    keepdim = bool(pair.now.argument(2, "keepdim", default=False))
    return lambda gradient: (share * (gradient if keepdim else gradient.unsqueeze(dim)),)


@dataclass(frozen=True)
class _Normalized:
    # Probabilities p and p0, how far their logarithms differ, and how far log sum exp x does.
    dim: int
    p: Tensor
    p0: Tensor
    rise: Tensor
    rise_of_norm: Tensor

    @classmethod
    def of(cls, pair: Pair, p: Tensor, p0: Tensor) -> _Normalized:
        (x,), (x0,), dim = pair.inputs, pair.inputs0, _dim(pair)
        x, x0 = x.to(p.dtype), x0.to(p.dtype)
        # All from the largest x, to which log sum exp x is near: large x that differ little would leave nothing of the
        # difference of that.
        top, top0 = x.amax(dim=dim, keepdim=True), x0.amax(dim=dim, keepdim=True)
        likelier = (p.amax(dim=dim, keepdim=True) / p0.amax(dim=dim, keepdim=True)).log_()
        rise = (x - top).sub_(x0 - top0)
        rise.nan_to_num_(nan=0, posinf=torch.inf, neginf=-torch.inf)  # none, of two that are masked: -inf both
        return cls(dim, p, p0, rise.add_(likelier), top - top0 - likelier)

    @property
    def mean(self) -> Tensor:
        """The logarithmic means of p and p0, (p - p0) / (log p - log p0)."""
        return (self.p + self.p0).mul_(_flatness(self.rise))

    @property
    def share(self) -> Tensor:
        """The share of each x in the difference of log sum exp x: the quotient of two logarithmic means."""
        norm = self.rise_of_norm
        of_norm = _flatness(norm)
        weighted = torch.addcmul(self.p * (norm.sigmoid() / of_norm), self.p0, (-norm).sigmoid() / of_norm)
        return weighted.mul_(_flatness(self.rise + norm))


def _flatness(rise: Tensor) -> Tensor:
    # The logarithmic mean over the sum, (a - b) / (log a - log b) / (a + b), where log a - log b is given: without a
    # difference of what is almost equal. It goes to 1/2.
    size = rise.abs().clamp_(min=torch.finfo(rise.dtype).tiny ** 0.5)
    return (size / 2).tanh_().div_(size)


def _dim(pair: Pair) -> int:
    dim = pair.now.argument(1, "dim")
    if dim is None:  # as the modules have it that are not told
        dim = 0 if pair.inputs[0].ndim in {0, 1, 3} else 1
    (dim,) = dim if isinstance(dim, (tuple, list)) else (dim,)
    return int(dim)
