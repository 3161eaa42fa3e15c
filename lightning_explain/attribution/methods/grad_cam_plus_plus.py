"""Grad-CAM++."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_explain.attribution.methods.cam import CAM, channels_weighted
from lightning_explain.attribution.methods.method import METHODS


@METHODS.register("grad_cam_plus_plus")
@dataclass(frozen=True)
class GradCAMPlusPlus(CAM):
    r"""Grad-CAM whose weights count the positions that matter, so that several objects show.

    .. math:: L = \mathrm{ReLU}\Big(\sum_c w_c A_c\Big), \qquad w_c = \sum_i a_{c,i} \, \mathrm{ReLU}(g_{c,i}), \qquad
              a_{c,i} = \frac{g_{c,i}^2}{2 g_{c,i}^2 + \sum_j A_{c,j} \, g_{c,i}^3}

    with :math:`g = \partial S / \partial A`. That is the paper's closed form for the class score :math:`\exp(S)`, whose
    derivatives share the factor :math:`\exp(S)`; here it is left out, for it overflows and only scales the map.

    A. Chattopadhyay, A. Sarkar, P. Howlader, V. N. Balasubramanian: Grad-CAM++. arXiv:1710.11063, 2017.
    """

    def map(self, activation: Tensor, gradient: Tensor) -> Tensor:  # noqa: D102
        square = gradient**2
        total = activation.flatten(2).sum(dim=2).view(*activation.shape[:2], *[1] * (activation.ndim - 2))
        below = 2 * square + total * square * gradient
        a = torch.where(below == 0, 0.0, square / torch.where(below == 0, 1.0, below))
        return channels_weighted((a * gradient.relu()).flatten(2).sum(dim=2), activation)
