"""The rules of layer-wise relevance propagation for affine operators.

The relevance of a tensor is here its value times what flows back to it. A rule says which functions of the input the
relevance is distributed by: of each, an output's relevance is divided by its value and flows back along its gradient.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lightning_explain.attribution.rules.affine import Affine
from lightning_explain.attribution.rules.pullback import pulled

VIEWS = ("Clone", "View", "Permute", "Transpose", "ReshapeAlias", "UnsafeView", "Squeeze", "Unsqueeze", "ToCopy", "T")
"""What autograd calls the operators that only reshape or copy."""

Share = tuple[Tensor, Tensor | float]
"""A function of the input that relevance is distributed by, and the factor of the relevance that it gets."""


@dataclass(frozen=True)
class Rule(ABC):
    """How the relevance of an affine operator's output goes to its input.

    Args:
        epsilon: What is added to denominators, away from zero; it absorbs relevance. Not negative.

    Raises:
        ValueError: If a parameter is out of range.
    """

    at_variable_only: ClassVar[bool] = False
    """Whether relevance is not in proportion to the input, so that the rule works only where that is the variable."""

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        if self.epsilon < 0:
            raise ValueError(f"epsilon must not be negative, got {self.epsilon}.")

    @abstractmethod
    def shares(self, op: Affine, out: Tensor) -> list[Share]:
        """The functions of ``op.x``, with their graphs, that relevance is distributed by.

        Args:
            op: The operator; its input is a leaf.
            out: Its output.

        Returns:
            Tensors like the output, with factors.
        """

    def stabilized(self, denominator: Tensor) -> Tensor:
        """Keep a denominator away from zero.

        Returns:
            The denominator with epsilon added to its absolute value.
        """
        # A number on the CPU goes to the kernel as it is: to send it to a GPU first would be waited for.
        epsilon = torch.tensor(self.epsilon, dtype=denominator.dtype)
        return torch.copysign(epsilon, denominator).add_(denominator)


@dataclass(frozen=True)
class Epsilon(Rule):
    r"""In proportion to the contributions, :math:`R_i = \sum_j \frac{x_i w_{ij}}{y_j \pm \epsilon} R_j`.

    S. Bach et al.: On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance
    Propagation. doi:10.1371/journal.pone.0130140, 2015.
    """

    def shares(self, op: Affine, out: Tensor) -> list[Share]:  # noqa: D102
        return [(op.operator(op.x, op.weight, op.bias), 1.0)]


@dataclass(frozen=True)
class ZPlus(Rule):
    """In proportion to the positive contributions.

    G. Montavon et al.: Explaining NonLinear Classification Decisions with Deep Taylor Decomposition.
    arXiv:1512.02479, 2015.
    """

    def shares(self, op: Affine, out: Tensor) -> list[Share]:  # noqa: D102
        return [(_signed(op, positive=True), 1.0)]


@dataclass(frozen=True)
class AlphaBeta(Rule):
    """Alpha times in proportion to the positive, minus beta times to the negative contributions.

    S. Bach et al.: doi:10.1371/journal.pone.0130140, 2015.

    Args:
        alpha: The factor of the positive ones.
        beta: That of the negative ones; alpha - beta must be 1.
    """

    alpha: float = 2.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta < 0 or abs(self.alpha - self.beta - 1) > 1e-9:
            raise ValueError(f"alpha - beta must be 1 and neither negative, got {self.alpha} and {self.beta}.")

    def shares(self, op: Affine, out: Tensor) -> list[Share]:  # noqa: D102
        shares: list[Share] = [(_signed(op, positive=True), self.alpha)]
        return shares if self.beta == 0 else [*shares, (_signed(op, positive=False), -self.beta)]


@dataclass(frozen=True)
class Gamma(Rule):
    """In proportion to the contributions, those that agree in sign with the output favoured by 1 + gamma.

    G. Montavon et al.: Layer-Wise Relevance Propagation: An Overview. doi:10.1007/978-3-030-28954-6_10, 2019.
    For inputs and outputs of either sign.

    Args:
        gamma: How much they are favoured. Not negative.
    """

    gamma: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gamma < 0:
            raise ValueError(f"gamma must not be negative, got {self.gamma}.")

    def shares(self, op: Affine, out: Tensor) -> list[Share]:  # noqa: D102
        # The contributions of one sign are half the sum, or the difference, of all of them and of their sizes: two
        # runs of the operator in place of four. What is favoured is no smaller than the output, so nothing cancels.
        own = op.operator(op.x, op.weight, op.bias)
        size = op.operator(op.x.abs(), op.weight.abs(), None if op.bias is None else op.bias.abs())
        half = self.gamma / 2
        return [(own * (1 + half) + size * (half * out.sign()), 1.0)]


@dataclass(frozen=True)
class Pass(Rule):
    """As it is, each output's relevance to the input at its place; the operator must keep the shape."""

    def shares(self, op: Affine, out: Tensor) -> list[Share]:  # noqa: D102
        if op.x.shape != out.shape:
            raise ValueError(
                f"The rule Pass needs outputs of the input's shape, and {op.name!r} makes {tuple(out.shape)} of"
                f" {tuple(op.x.shape)}."
            )
        return [(op.x * 1, 1.0)]


@dataclass(frozen=True)
class ZBox(Rule):
    """For a first layer whose input has bounds, as pixels do: contributions are counted from the bounds.

    G. Montavon et al.: arXiv:1512.02479, 2015.

    Args:
        low: The least value of the input, a number or a tensor that broadcasts; None: each sample's own.
        high: The largest, likewise.
    """

    at_variable_only = True

    low: float | Tensor | None = None
    high: float | Tensor | None = None

    def shares(self, op: Affine, out: Tensor) -> list[Share]:  # noqa: D102
        unit, x = _unit(op.x), op.x.detach()
        low, high = _bound(self.low, x, torch.amin), _bound(self.high, x, torch.amax)
        plus, minus = op.weight.clamp(min=0), op.weight.clamp(max=0)
        own = op.operator(x * unit, op.weight, None)
        return [(own - op.operator(low * unit, plus, None) - op.operator(high * unit, minus, None), 1.0)]


@dataclass(frozen=True)
class Flat(Rule):
    """To all inputs of an output alike.

    S. Lapuschkin et al.: Unmasking Clever Hans Predictors. arXiv:1902.10178, 2019.
    """

    at_variable_only = True

    def shares(self, op: Affine, out: Tensor) -> list[Share]:  # noqa: D102
        return [(op.operator(_unit(op.x), torch.ones_like(op.weight), None), 1.0)]


@dataclass(frozen=True)
class WSquare(Rule):
    """In proportion to the squared weights.

    G. Montavon et al.: arXiv:1512.02479, 2015.
    """

    at_variable_only = True

    def shares(self, op: Affine, out: Tensor) -> list[Share]:  # noqa: D102
        return [(op.operator(_unit(op.x), op.weight**2, None), 1.0)]


def away_from_zero(value: Tensor) -> Tensor:
    """Replace values too small to divide by, the same everywhere: what is divided is multiplied in the end.

    Returns:
        A tensor without zeros.
    """
    # In arithmetic alone: on a CPU a mask costs several times as much.
    return value.abs().clamp_(min=torch.finfo(value.dtype).tiny ** 0.5).copysign_(value)


def is_variable(x: Tensor) -> bool:
    """Whether a tensor is what gradients are taken with respect to, but for its shape.

    Returns:
        False if anything has been computed from it.
    """
    node = x.grad_fn
    while node is not None:
        name = type(node).__name__
        if name == "AccumulateGrad":
            return True
        if not name.startswith(VIEWS):
            return False
        node = node.next_functions[0][0]
    return x.requires_grad


def _unit(x: Tensor) -> Tensor:
    # Ones, to which relevance flows back as it is: relevance is the input times what flows to the input.
    return pulled(torch.ones_like(x), lambda relevance: (relevance / away_from_zero(x.detach()),), x)


def _signed(op: Affine, *, positive: bool) -> Tensor:
    # The sum of the contributions of one sign, of the bias too.
    plus, minus = op.weight.clamp(min=0), op.weight.clamp(max=0)
    bias = None if op.bias is None else op.bias.clamp(min=0) if positive else op.bias.clamp(max=0)
    if not op.x.numel() or op.x.detach().amin() >= 0:  # behind a rectifier
        return op.operator(op.x, plus if positive else minus, bias)
    x_plus = op.x.relu()
    x_minus = op.x - x_plus
    with_plus, with_minus = (x_plus, x_minus) if positive else (x_minus, x_plus)
    return op.operator(with_plus, plus, bias) + op.operator(with_minus, minus, None)


def _bound(given: float | Tensor | None, x: Tensor, extreme: object) -> Tensor:
    if given is not None:
        return torch.as_tensor(given, dtype=x.dtype, device=x.device).expand_as(x)
    return extreme(x, dim=tuple(range(1, x.ndim)), keepdim=True).expand_as(x)  # type: ignore[operator,no-any-return]
