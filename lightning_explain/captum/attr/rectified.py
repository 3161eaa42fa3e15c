"""Guided backpropagation, deconvolution, and guided Grad-CAM."""

from __future__ import annotations

import warnings
from functools import partial

import torch
from torch import nn

from lightning_explain.attribution import methods
from lightning_explain.attribution.place import Side
from lightning_explain.captum.arguments import Tensors, shaped_like
from lightning_explain.captum.ask import Answer, Ask, in_dtype_of
from lightning_explain.captum.attr.attribution import GradientAttribution, answered
from lightning_explain.captum.host import Host, as_module
from lightning_explain.captum.selecting import Target


class GuidedBackprop(GradientAttribution):
    """The gradient, whose negative part is dropped at every ReLU.

    See :class:`lightning_explain.attribution.methods.GuidedBackprop`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(as_module(model))
        self.model = model

    @answered
    def attribute(self, inputs: Tensors, target: Target = None, additional_forward_args: object = None) -> Ask:
        return Ask(methods.GuidedBackprop(), inputs, target=target, additional_forward_args=additional_forward_args)


class Deconvolution(GradientAttribution):
    """The gradient, rectified at every ReLU in place of masked by it.

    See :class:`lightning_explain.attribution.methods.Deconvolution`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(as_module(model))
        self.model = model

    @answered
    def attribute(self, inputs: Tensors, target: Target = None, additional_forward_args: object = None) -> Ask:
        return Ask(methods.Deconvolution(), inputs, target=target, additional_forward_args=additional_forward_args)


class GuidedGradCam(GradientAttribution):
    """Guided backpropagation times the Grad-CAM map of a layer, upsampled to the inputs.

    See :class:`lightning_explain.attribution.methods.GuidedGradCAM`.

    Args:
        model: A model.
        layer: The map's layer.
        device_ids: Accepted and not needed: a layer runs where it is.
    """

    def __init__(self, model: nn.Module, layer: nn.Module, device_ids: list[int] | None = None) -> None:
        super().__init__(as_module(model))
        self.model, self.layer, self.device_ids = model, as_module(layer), device_ids

    @answered
    def attribute(
        self,
        inputs: Tensors,
        target: Target = None,
        additional_forward_args: object = None,
        interpolate_mode: str = "nearest",
        attribute_to_layer_input: bool = False,
    ) -> Ask:
        side: Side = "input" if attribute_to_layer_input else "output"
        method = methods.GuidedGradCAM(Host.name(0), side, interpolate_mode, strict=False)
        return Ask(
            method,
            inputs,
            target=target,
            additional_forward_args=additional_forward_args,
            layers=(self.layer,),
            form=partial(_empty_without_map, method),
        )


def _empty_without_map(method: methods.GuidedGradCAM, found: Answer) -> Tensors:
    # Captum's sign that a map has no room in an input.
    fitting = method.fitting(found.problem)
    if not all(fitting):
        without = ", ".join(str(number) for number, fits in enumerate(fitting) if not fits)
        warnings.warn(
            f"The map of the layer does not have as many dimensions as input(s) {without}, or cannot be interpolated by"
            f" {method.mode!r}: their attributions are empty tensors.",
            stacklevel=2,
        )
    point = in_dtype_of(found.problem.z, found.point)
    return shaped_like(
        found.ask.inputs, tuple(leaf if fits else torch.empty(0) for leaf, fits in zip(point, fitting, strict=True))
    )
