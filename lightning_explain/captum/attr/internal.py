"""Methods that Captum has at layers and neurons alone, as they are at the inputs: what their classes are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning_explain.attribution import methods
from lightning_explain.captum.arguments import Baselines, Tensors
from lightning_explain.captum.ask import Ask
from lightning_explain.captum.attr.attribution import Attribution, FactorAttribution, GradientAttribution, answered
from lightning_explain.captum.attr.gradients import quadrature_named
from lightning_explain.captum.selecting import Target


class Activation(Attribution):
    """What is there."""

    @property
    def multiplies_by_inputs(self) -> bool:
        return True

    @answered
    def attribute(self, inputs: Tensors, additional_forward_args: object = None) -> Ask:
        return Ask(methods.Activation(), inputs, additional_forward_args=additional_forward_args)


class Gradient(GradientAttribution):
    """The signed gradient."""

    @answered
    def attribute(self, inputs: Tensors, target: Target = None, additional_forward_args: object = None) -> Ask:
        return Ask(
            methods.Saliency(absolute=False), inputs, target=target, additional_forward_args=additional_forward_args
        )


class GradientXActivation(FactorAttribution):
    """The gradient, times what it is taken with respect to."""

    def __init__(
        self, forward_func: Callable[..., Any], multiply_by_inputs: bool = True, memory_efficient: bool = False
    ) -> None:
        super().__init__(forward_func, multiply_by_inputs)
        self.memory_efficient = memory_efficient

    @answered
    def attribute(self, inputs: Tensors, target: Target = None, additional_forward_args: object = None) -> Ask:
        method = methods.InputXGradient() if self._multiply_by_inputs else methods.Saliency(absolute=False)
        return Ask(method, inputs, target=target, additional_forward_args=additional_forward_args)


class GradCam(GradientAttribution):
    """Channels, weighted with their mean gradient."""

    @answered
    def attribute(
        self,
        inputs: Tensors,
        target: Target = None,
        additional_forward_args: object = None,
        relu_attributions: bool = False,
        attr_dim_summation: bool = True,
    ) -> Ask:
        method = methods.GradCAM(signed=not relu_attributions, summed=attr_dim_summation, needs_positions=False)
        return Ask(method, inputs, target=target, additional_forward_args=additional_forward_args)


class Conductance(FactorAttribution):
    """What flows through units while the inputs run along the line from their baseline."""

    def has_convergence_delta(self) -> bool:
        return True

    @answered
    def attribute(
        self,
        inputs: Tensors,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: object = None,
        n_steps: int = 50,
        method: str = "gausslegendre",
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
    ) -> Ask:
        return Ask(
            methods.Conductance(n_steps, quadrature_named(method), self._multiply_by_inputs),
            inputs,
            baselines,
            target,
            additional_forward_args,
            max_rows=internal_batch_size,
            between=True,
            delta=return_convergence_delta,
        )


class Influence(GradientAttribution):
    """The mean gradient while the inputs run along the line from their baseline."""

    @answered
    def attribute(
        self,
        inputs: Tensors,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: object = None,
        n_steps: int = 50,
        method: str = "gausslegendre",
        internal_batch_size: int | None = None,
    ) -> Ask:
        return Ask(
            methods.InternalInfluence(n_steps, quadrature_named(method)),
            inputs,
            baselines,
            target,
            additional_forward_args,
            max_rows=internal_batch_size,
            between=True,
        )
