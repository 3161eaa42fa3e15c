"""Grad-CAM."""

from dataclasses import dataclass

from torch import Tensor

from lightning_explain.attribution.methods.cam import CAM, channels_weighted
from lightning_explain.attribution.methods.method import METHODS
from lightning_explain.attribution.problem import Problem


@METHODS.register("grad_cam")
@dataclass(frozen=True)
class GradCAM(CAM):
    r"""A layer's channels, weighted with their mean gradient and summed, upsampled to the input.

    .. math:: L = \mathrm{ReLU}\Big(\sum_c \alpha_c A_c\Big), \qquad
              \alpha_c = \frac1Z \sum_{i} \frac{\partial S}{\partial A_{c,i}}

    R. R. Selvaraju et al.: Grad-CAM. arXiv:1610.02391, 2016.

    Args:
        layer: As in the other methods of the CAM family.
        signed: As there.
        grid: As there.
        summed: Whether the weighted channels are summed; otherwise each has a map, (n, channels, positions...).
        needs_positions: Whether a layer (n, channels), of which no map can be made, is refused. Otherwise it is taken
            for one position: activation times gradient, summed to (n, 1).
    """

    summed: bool = True
    needs_positions: bool = True

    def laid_out(self, problem: Problem, z: Tensor, gradient: Tensor) -> Tensor:  # noqa: D102
        if z.ndim == 2 and not self.needs_positions:
            return super().laid_out(problem, z.unsqueeze(-1), gradient.unsqueeze(-1)).squeeze(-1)
        return super().laid_out(problem, z, gradient)

    def map(self, activation: Tensor, gradient: Tensor) -> Tensor:  # noqa: D102
        alpha = gradient.flatten(2).mean(dim=2)
        if self.summed:
            return channels_weighted(alpha, activation)
        return alpha.view(*alpha.shape, *[1] * (activation.ndim - 2)) * activation
