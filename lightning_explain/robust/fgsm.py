"""The fast gradient sign method: one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from lightning_explain.inputs import Point
from lightning_explain.robust.attack import Bounds, Slope, ahead, require_size
from lightning_explain.robust.norms import LInf, Norm


@dataclass(frozen=True)
class FGSM:
    r"""One step along the signs of the loss's gradient, the steepest ascent in the largest norm.

    .. math:: x' = x + \epsilon \, \mathrm{sign}(\nabla_x L(x, y))

    Towards a target: :math:`x - \epsilon \, \mathrm{sign}(\nabla_x L(x, t))`.

    I. Goodfellow, J. Shlens, C. Szegedy: Explaining and Harnessing Adversarial Examples. arXiv:1412.6572, 2014.

    Args:
        epsilon: How far every element goes, in units of the input; a number, or a tensor that broadcasts to it.
        targeted: Whether the loss is that of what the model is to be misled to, and falls.
        bounds: What values the inputs can have.
        norm: Whose steepest ascent the step takes; with ``L2()`` it is the gradient, ``epsilon`` long.

    Raises:
        TypeError: If ``epsilon`` is no number.
        ValueError: If it is negative.

    Example:
        >>> import torch
        >>> slope = lambda z: (torch.tensor([[3.0, -0.1, 0.0]]),)
        >>> FGSM(0.5, bounds=Bounds(0, 1))(slope, (torch.full((1, 3), 0.4),), (torch.ones(1, 3),))
        (tensor([[0.9000, 0.0000, 0.4000]]),)
    """

    epsilon: float | Tensor
    targeted: bool = False
    bounds: Callable[[Tensor], Tensor] = Bounds()
    norm: Norm = LInf()

    def __post_init__(self) -> None:
        require_size("epsilon", self.epsilon)

    def __call__(self, slope: Slope, x: Point, free: Point) -> Point:
        """Perturb inputs; see :class:`~lightning_explain.robust.attack.Attack`.

        Returns:
            Tensors like ``x``.
        """
        size = -self.epsilon if self.targeted else self.epsilon
        return tuple(map(self.bounds, ahead(slope, x, size, self.norm, free)))
