"""HiResCAM."""

from dataclasses import dataclass

from torch import Tensor

from lightning_explain.attribution.methods.cam import CAM, channels_weighted
from lightning_explain.attribution.methods.method import METHODS


@METHODS.register("hires_cam")
@dataclass(frozen=True)
class HiResCAM(CAM):
    r"""Activations times gradients, summed over the channels: where the score comes from, position by position.

    .. math:: L_i = \sum_c \frac{\partial S}{\partial A_{c,i}} A_{c,i}

    No mean of the gradient moves evidence to other places, as in Grad-CAM. Where one linear layer follows, the
    map sums to the score without its bias. The paper knows no ReLU: ``signed`` is True here.

    R. L. Draelos, L. Carin: Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural
    networks. arXiv:2011.08891, 2020.
    """

    signed: bool = True

    def map(self, activation: Tensor, gradient: Tensor) -> Tensor:  # noqa: D102
        return channels_weighted(gradient, activation)
