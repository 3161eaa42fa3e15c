"""Composites: which rule of layer-wise relevance propagation an affine operator follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from lightning_explain.attribution.rules.affine import Affine
from lightning_explain.attribution.rules.relevance import AlphaBeta, Epsilon, Flat, Gamma, Rule, WSquare, ZBox, ZPlus
from lightning_explain.registry import unknown


@dataclass(frozen=True)
class Composite:
    """A rule for each type of affine operator.

    Args:
        convolution: For convolutions.
        dense: For the others.
        first: For the first affine operator that the model runs, if it reads the variable itself (reshaped, perhaps);
            None: as the others of its type.
    """

    convolution: Rule = field(default_factory=Epsilon)
    dense: Rule = field(default_factory=Epsilon)
    first: Rule | None = None

    def rule(self, op: Affine, *, first: bool) -> Rule:
        """Choose.

        Returns:
            The rule.
        """
        if first and self.first is not None:
            return self.first
        return self.convolution if op.is_convolution else self.dense


def epsilon_gamma_box(
    low: float | Tensor | None = None, high: float | Tensor | None = None, gamma: float = 0.25
) -> Composite:
    """Box rule first, gamma for convolutions, epsilon for the rest.

    Args:
        low: The least value of the inputs; None: each sample's own.
        high: The largest, likewise.
        gamma: How much agreeing contributions are favoured.

    Returns:
        The composite.
    """
    return Composite(Gamma(gamma=gamma), first=ZBox(low=low, high=high))


COMPOSITES: dict[str, Callable[[], Composite]] = {
    "epsilon": Composite,
    "epsilon_plus": lambda: Composite(ZPlus()),
    "epsilon_plus_flat": lambda: Composite(ZPlus(), first=Flat()),
    "epsilon_alpha2_beta1": lambda: Composite(AlphaBeta()),
    "epsilon_alpha2_beta1_flat": lambda: Composite(AlphaBeta(), first=Flat()),
    "epsilon_gamma_box": epsilon_gamma_box,
    "gamma": lambda: Composite(Gamma(), Gamma()),
    "alpha1_beta0": lambda: Composite(AlphaBeta(alpha=1, beta=0), AlphaBeta(alpha=1, beta=0)),
    "w_square": lambda: Composite(ZPlus(), first=WSquare()),
}
"""Names that users write."""


def composite(chosen: str | Composite) -> Composite:
    """Look a composite up.

    Returns:
        It, by name or as it is.

    Raises:
        ValueError: If there is none of that name.
    """
    if isinstance(chosen, Composite):
        return chosen
    if chosen not in COMPOSITES:
        raise ValueError(unknown("LRP composite", chosen, COMPOSITES))
    return COMPOSITES[chosen]()
