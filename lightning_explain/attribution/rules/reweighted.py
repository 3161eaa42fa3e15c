"""Rules that distribute relevance by other weights than the operator's own."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from lightning_explain.attribution.rules.affine import Affine
from lightning_explain.attribution.rules.relevance import Rule, Share


@dataclass(frozen=True)
class Weighted(Rule):
    r"""In proportion to contributions to which positive and negative weights count differently.

    .. math:: R_i = \sum_j \frac{x_i w'_{ij}}{\sum_k x_k w'_{kj} + b_j \pm \epsilon} R_j, \qquad
              w' = p \, w^+ + n \, w^-

    For inputs that are not negative, :math:`p = 1 + \gamma` is the gamma rule, :math:`n = 0` the z+ rule. Where inputs
    are of either sign :class:`~lightning_explain.attribution.rules.Gamma` and
    :class:`~lightning_explain.attribution.rules.ZPlus` go by the sign of the contributions.

    G. Montavon et al.: Layer-Wise Relevance Propagation: An Overview. doi:10.1007/978-3-030-28954-6_10, 2019.

    Args:
        positive: The factor p of positive weights.
        negative: The factor n of negative ones.
        bias: Whether the bias, as it is, counts in the denominator.
    """

    positive: float = 1.0
    negative: float = 1.0
    bias: bool = True

    def shares(self, op: Affine, out: Tensor) -> list[Share]:  # noqa: D102
        weight = self.positive * op.weight.clamp(min=0) + self.negative * op.weight.clamp(max=0)
        return [(op.operator(op.x, weight, op.bias if self.bias else None), 1.0)]


@dataclass(frozen=True)
class Exchanged(Rule):
    """In proportion to what the contributions would be with other weights and another bias.

    Args:
        weight: The weights, of the shape of the operator's.
        bias: The bias, likewise; None: there is none.
    """

    weight: Tensor | None = field(default=None, compare=False, repr=False)
    bias: Tensor | None = field(default=None, compare=False, repr=False)

    def shares(self, op: Affine, out: Tensor) -> list[Share]:  # noqa: D102
        # In the operator's precision: relevance of models in float16 is computed in float32.
        weight = op.weight if self.weight is None else self.weight.to(op.weight)
        return [(op.operator(op.x, weight, None if self.bias is None else self.bias.to(op.weight)), 1.0)]
