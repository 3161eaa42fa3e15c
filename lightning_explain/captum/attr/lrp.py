"""Layer-wise relevance propagation."""

from __future__ import annotations

from torch import Tensor, nn

from lightning_explain.attribution import methods
from lightning_explain.attribution.convergence import total
from lightning_explain.attribution.rules import Composite, Epsilon
from lightning_explain.captum.arguments import Tensors, as_inputs
from lightning_explain.captum.ask import Ask
from lightning_explain.captum.attr._utils.lrp_rules import EpsilonRule, PropagationRule
from lightning_explain.captum.attr.attribution import GradientAttribution, answered
from lightning_explain.captum.errors import ArgumentTypeError
from lightning_explain.captum.host import as_module
from lightning_explain.captum.selecting import Target

NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
"""Layers that follow a rule of their own unless they are given one; the engine merges them with what is in front."""


class LRP(GradientAttribution):
    """Relevance of the output, handed down from layer to layer.

    See :class:`lightning_explain.attribution.methods.LRP`. A layer follows its ``rule``, where it has one (see
    :mod:`lightning_explain.captum.attr._utils.lrp_rules`), and otherwise ``EpsilonRule()``. Rules, weights and
    layers are left as they are.

    Args:
        model: A model.

    Raises:
        ArgumentTypeError: If a layer's ``rule`` is something else.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(as_module(model))
        self.model = model
        self._rules()

    @property
    def multiplies_by_inputs(self) -> bool:
        return True

    def has_convergence_delta(self) -> bool:
        return True

    @answered
    def attribute(
        self,
        inputs: Tensors,
        target: Target = None,
        additional_forward_args: object = None,
        return_convergence_delta: bool = False,
        verbose: bool = False,
    ) -> Ask:
        rules = self._rules()
        if verbose:
            for layer, rule in rules:
                print(f"Applied {type(rule).__name__} on layer {layer}")  # noqa: T201  (asked for)
        plain = Epsilon(EpsilonRule.STABILITY_FACTOR)
        return Ask(
            methods.LRP(Composite(plain, plain), tuple((layer, rule.of(layer)) for layer, rule in rules)),
            inputs,
            target=target,
            additional_forward_args=additional_forward_args,
            delta=return_convergence_delta,
            owed=True,
        )

    def compute_convergence_delta(self, attributions: Tensors, output: Tensor) -> Tensor:  # type: ignore[override]
        """How much of the output relevances do not account for.

        Args:
            attributions: One tensor (n, ...) for each input.
            output: The explained output (n,).

        Returns:
            Output - sum of attributions, (n,); 0 is exact.
        """
        return (output.detach().flatten().double() - total(as_inputs(attributions))).to(output)

    def _rules(self) -> list[tuple[nn.Module, PropagationRule]]:
        found = []
        for name, layer in self.model.named_modules():
            rule = getattr(layer, "rule", None)
            if rule is None and isinstance(layer, NORMALISATIONS):
                rule = EpsilonRule()
            if isinstance(rule, PropagationRule):
                found.append((layer, rule))
            elif rule is not None:
                kind = type(rule)
                raise ArgumentTypeError(
                    f"The rule of layer {name!r} is a PropagationRule such as EpsilonRule(), from"
                    f" {PropagationRule.__module__}; got {kind.__module__}.{kind.__qualname__}."
                )
        return found
