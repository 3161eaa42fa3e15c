"""Methods that ask for gradients of the output with respect to the inputs."""

from __future__ import annotations

from lightning_explain.attribution import methods
from lightning_explain.captum.arguments import Baselines, Tensors
from lightning_explain.captum.ask import Ask
from lightning_explain.captum.attr.attribution import FactorAttribution, GradientAttribution, answered
from lightning_explain.captum.errors import ArgumentError
from lightning_explain.captum.selecting import Target
from lightning_explain.registry import unknown

QUADRATURES = {
    "gausslegendre": "gauss_legendre",
    "riemann_left": "riemann_left",
    "riemann_right": "riemann_right",
    "riemann_middle": "riemann_middle",
    "riemann_trapezoid": "riemann_trapezoid",
}
"""Captum's names, and the engine's."""


class Saliency(GradientAttribution):
    """The gradient of the output with respect to the inputs; see :class:`lightning_explain.Saliency`."""

    @answered
    def attribute(
        self,
        inputs: Tensors,
        target: Target = None,
        abs: bool = True,  # noqa: A002  (Captum's name)
        additional_forward_args: object = None,
    ) -> Ask:
        return Ask(
            methods.Saliency(absolute=abs), inputs, target=target, additional_forward_args=additional_forward_args
        )


class InputXGradient(GradientAttribution):
    """The gradient times the inputs; see :class:`lightning_explain.attribution.methods.InputXGradient`."""

    @property
    def multiplies_by_inputs(self) -> bool:
        return True

    @answered
    def attribute(self, inputs: Tensors, target: Target = None, additional_forward_args: object = None) -> Ask:
        return Ask(methods.InputXGradient(), inputs, target=target, additional_forward_args=additional_forward_args)


class IntegratedGradients(FactorAttribution):
    """The gradient integrated along the line from the baseline.

    See :class:`lightning_explain.attribution.methods.IntegratedGradients`.
    """

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
            methods.IntegratedGradients(n_steps, quadrature_named(method), self._multiply_by_inputs),
            inputs,
            baselines,
            target,
            additional_forward_args,
            max_rows=internal_batch_size,
            between=True,
            delta=return_convergence_delta,
        )


def quadrature_named(method: str) -> str:
    """The engine's name of a quadrature.

    Returns:
        The name.

    Raises:
        ArgumentError: If there is none of that name.
    """
    if method not in QUADRATURES:
        raise ArgumentError(unknown("quadrature", method, QUADRATURES))
    return QUADRATURES[method]
