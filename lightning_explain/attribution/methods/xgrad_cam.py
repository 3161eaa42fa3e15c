"""XGrad-CAM."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_explain.attribution.methods.cam import CAM, channels_weighted
from lightning_explain.attribution.methods.method import METHODS


@METHODS.register("xgrad_cam")
@dataclass(frozen=True)
class XGradCAM(CAM):
    r"""Grad-CAM whose weights are means of the gradient over the activation.

    .. math:: L = \mathrm{ReLU}\Big(\sum_c \alpha_c A_c\Big), \qquad
              \alpha_c = \sum_i \frac{A_{c,i}}{\sum_j A_{c,j}} \frac{\partial S}{\partial A_{c,i}}

    The weights that come nearest to the axioms of sensitivity and conservation for activations that are not negative.
    A channel whose activations sum to zero has no such mean and gets no weight.

    R. Fu et al.: Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs. arXiv:2008.02312, 2020.
    """

    def map(self, activation: Tensor, gradient: Tensor) -> Tensor:  # noqa: D102
        total = activation.flatten(2).sum(dim=2)
        product = (activation * gradient).flatten(2).sum(dim=2)
        return channels_weighted(
            torch.where(total == 0, 0.0, product / torch.where(total == 0, 1.0, total)), activation
        )
