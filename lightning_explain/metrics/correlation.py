"""Pearson's correlation, batched, in float64, over the entries that take part."""

import torch
from torch import Tensor

from lightning_explain.metrics.shapes import require_alike
from lightning_explain.precision import accurate


def pearson(a: Tensor, b: Tensor, among: Tensor | None = None) -> Tensor:
    r"""Pearson's correlation of each row.

    .. math:: \frac{\sum_k (a_k - \bar a)(b_k - \bar b)}
        {\sqrt{\sum_k (a_k - \bar a)^2} \sqrt{\sum_k (b_k - \bar b)^2}}

    Args:
        a: Numbers (n, K).
        b: Numbers (n, K).
        among: Which entries take part, (n, K) boolean; None: all.

    Returns:
        Correlations (n,) in [-1, 1], float64; NaN where a row is constant (but for what rounding makes of equal
        numbers), is not finite, or nothing takes part.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> a = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])
        >>> pearson(a, torch.tensor([[10.0, 30.0, 50.0], [1.0, 0.0, -1.0], [1.0, 2.0, 3.0]]))
        tensor([ 1., -1., nan], dtype=torch.float64)
    """
    require_alike("(n, K)", a=a, b=b, **({} if among is None else {"among": among}))
    a, b = accurate(a), accurate(b)
    among = torch.ones_like(a, dtype=torch.bool) if among is None else among.to(a.device)
    (a, power_a), (b, power_b) = _centred(a, among), _centred(b, among)
    return ((a * b).sum(dim=1) / (power_a * power_b).sqrt()).clamp(-1, 1)


def _centred(values: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    # Deviations from the mean, and the sum of their squares; NaN instead of those of equal numbers.
    kept = values.masked_fill(~among, 0)
    # In units of the largest, so that no square over- or underflows, whatever the units of a map are.
    kept = kept / kept.abs().amax(dim=1, keepdim=True)
    count = among.sum(dim=1, keepdim=True)
    centred = (kept - kept.sum(dim=1, keepdim=True) / count).masked_fill(~among, 0)
    power = centred.square().sum(dim=1)
    rounding = torch.finfo(centred.dtype).eps * count[:, 0]
    return centred, torch.where(power > rounding.square(), power, torch.nan)
