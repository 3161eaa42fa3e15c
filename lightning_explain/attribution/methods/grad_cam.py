"""Grad-CAM."""

from dataclasses import dataclass

from torch import Tensor

from lightning_explain.attribution.methods.cam import CAM, channels_weighted
from lightning_explain.attribution.methods.method import METHODS


@METHODS.register("grad_cam")
@dataclass(frozen=True)
class GradCAM(CAM):
    r"""A layer's channels, weighted with their mean gradient and summed, upsampled to the input.

    .. math:: L = \mathrm{ReLU}\Big(\sum_c \alpha_c A_c\Big), \qquad
              \alpha_c = \frac1Z \sum_{i} \frac{\partial S}{\partial A_{c,i}}

    R. R. Selvaraju et al.: Grad-CAM. arXiv:1610.02391, 2016.
    """

    def map(self, activation: Tensor, gradient: Tensor) -> Tensor:  # noqa: D102
        return channels_weighted(gradient.flatten(2).mean(dim=2), activation)
