"""Guided Grad-CAM."""

from dataclasses import dataclass, replace

import torch.nn.functional as F
from torch import Tensor

from lightning_explain.attribution.convolution import last_convolution
from lightning_explain.attribution.methods.grad_cam import GradCAM
from lightning_explain.attribution.methods.guided_backprop import GuidedBackprop
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.place import Layer, Neuron
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point

MODES = {3: "linear", 4: "bilinear", 5: "trilinear"}


@METHODS.register("guided_grad_cam")
@dataclass(frozen=True)
class GuidedGradCAM(Method):
    r"""Guided backpropagation times the Grad-CAM map of a layer, upsampled to the variable.

    .. math:: \phi = g_{\mathrm{guided}} \cdot \mathrm{upsample}(L_{\mathrm{Grad-CAM}})

    The fine detail of the one where the other finds the class. Inputs without the map's positions get nothing.

    R. R. Selvaraju et al.: Grad-CAM. arXiv:1610.02391, 2016.

    Args:
        layer: Dotted name of the map's layer, whose output is (n, channels, positions...); None: the last convolution
            that the model reaches.

    Raises:
        ValueError: When called: at a neuron, whose map is not defined; or if no tensor has the map's positions.
    """

    layer: str | None = None

    @property
    def contributes(self) -> bool:  # noqa: D102
        return False

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        if isinstance(problem.place, Neuron):
            raise ValueError("Guided Grad-CAM explains the target output: use Input() or Layer(name), not a neuron.")
        layer = Layer(self.layer or last_convolution(problem))
        (cam, *_) = GradCAM()(replace(problem, place=layer))
        if all(leaf.ndim != cam.ndim for leaf in problem.z):
            raise ValueError(
                f"The map of layer {layer.name!r} has shape {tuple(cam.shape)}, and the tensors to explain"
                f" have {[tuple(leaf.shape) for leaf in problem.z]}: none has positions for it."
            )
        return tuple(_guided(gradient, cam) for gradient in GuidedBackprop()(problem))


def _guided(gradient: Tensor, cam: Tensor) -> Tensor:
    if gradient.ndim != cam.ndim:
        return gradient * 0
    finer = F.interpolate(cam.to(gradient), size=gradient.shape[2:], mode=MODES[cam.ndim], align_corners=False)
    return gradient * finer
