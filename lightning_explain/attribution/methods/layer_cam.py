"""LayerCAM."""

from dataclasses import dataclass

from torch import Tensor

from lightning_explain.attribution.methods.cam import CAM, channels_weighted
from lightning_explain.attribution.methods.method import METHODS


@METHODS.register("layer_cam")
@dataclass(frozen=True)
class LayerCAM(CAM):
    r"""Activations, weighted at every position with the gradient there if it is positive.

    .. math:: L_i = \mathrm{ReLU}\Big(\sum_c \mathrm{ReLU}\Big(\frac{\partial S}{\partial A_{c,i}}\Big) A_{c,i}\Big)

    Meant for early layers too, where a mean over positions says little.

    P.-T. Jiang, C.-B. Zhang, Q. Hou, M.-M. Cheng, Y. Wei: LayerCAM: Exploring Hierarchical Class Activation Maps for
    Localization. IEEE Transactions on Image Processing 30, 2021 (no arXiv version).
    """

    def map(self, activation: Tensor, gradient: Tensor) -> Tensor:  # noqa: D102
        return channels_weighted(gradient.relu(), activation)
