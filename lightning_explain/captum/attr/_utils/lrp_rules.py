"""Rules of layer-wise relevance propagation, as users set them: ``layer.rule = EpsilonRule()``."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from lightning_explain.attribution.rules import Epsilon, Exchanged, Pass, Weighted
from lightning_explain.attribution.rules.relevance import Rule


class PropagationRule:
    """How the relevance of a layer's output goes to its input.

    A rule of one's own overrides ``_manipulate_weights(module, inputs, outputs)`` and changes the weights and biases
    of the module there: of a copy, for the model itself is never written to. Inputs and outputs are None.
    """

    STABILITY_FACTOR = 1e-9
    """What is added to denominators, away from zero."""

    def of(self, module: nn.Module) -> Rule:
        """The engine's rule for a layer.

        Returns:
            The rule.
        """
        own = type(self)._manipulate_weights is not PropagationRule._manipulate_weights  # noqa: SLF001  (overridden)
        if not own:
            return self._rule()
        twin = copy.copy(module)
        twin._parameters = {  # noqa: SLF001  (a copy with weights of its own, and all else that the module has)
            name: None if held is None else nn.Parameter(held.detach().clone(), requires_grad=False)
            for name, held in module._parameters.items()  # noqa: SLF001
        }
        self._manipulate_weights(twin, None, None)
        weight, bias = getattr(twin, "weight", None), getattr(twin, "bias", None)
        return Exchanged(
            self.STABILITY_FACTOR,
            None if weight is None else weight.detach(),
            None if bias is None else bias.detach(),
        )

    def _rule(self) -> Rule:
        raise NotImplementedError(f"{type(self).__name__} does not say what it does: define _manipulate_weights.")

    def _manipulate_weights(self, module: nn.Module, inputs: Any, outputs: Any) -> None:  # noqa: ANN401
        """Change the weights of a module; only rules of one's own do."""


class EpsilonRule(PropagationRule):
    """In proportion to the contributions; see :class:`lightning_explain.attribution.rules.Epsilon`.

    Args:
        epsilon: What is added to denominators, away from zero; it absorbs relevance.
    """

    def __init__(self, epsilon: float = 1e-9) -> None:
        self.STABILITY_FACTOR = epsilon

    def _rule(self) -> Rule:
        return Epsilon(self.STABILITY_FACTOR)


class GammaRule(PropagationRule):
    """Positive weights count more; see :class:`lightning_explain.attribution.rules.Weighted`.

    Args:
        gamma: By how much.
        set_bias_to_zero: Whether the bias is left out of the denominators.
    """

    def __init__(self, gamma: float = 0.25, set_bias_to_zero: bool = False) -> None:
        self.gamma, self.set_bias_to_zero = gamma, set_bias_to_zero

    def _rule(self) -> Rule:
        return Weighted(self.STABILITY_FACTOR, positive=1 + self.gamma, bias=not self.set_bias_to_zero)


class Alpha1_Beta0_Rule(PropagationRule):  # noqa: N801  (Captum's name)
    """Only positive weights count; see :class:`lightning_explain.attribution.rules.Weighted`.

    Args:
        set_bias_to_zero: Whether the bias is left out of the denominators.
    """

    def __init__(self, set_bias_to_zero: bool = False) -> None:
        self.set_bias_to_zero = set_bias_to_zero

    def _rule(self) -> Rule:
        return Weighted(self.STABILITY_FACTOR, negative=0.0, bias=not self.set_bias_to_zero)


class IdentityRule(EpsilonRule):
    """Each output's relevance goes to the input at its place; see :class:`lightning_explain.attribution.rules.Pass`."""

    def _rule(self) -> Rule:
        return Pass(self.STABILITY_FACTOR)
