"""Projected gradient descent: many steps that stay near."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from lightning_explain.attribution.settings import require_integer
from lightning_explain.inputs import Point
from lightning_explain.randomness import stream
from lightning_explain.robust.attack import Bounds, Slope, ahead, require_size
from lightning_explain.robust.norms import LInf, Norm


@dataclass(frozen=True)
class PGD:
    r"""Steps of steepest ascent, each followed by the projection onto a ball around the sample.

    .. math:: x^{t+1} = \Pi_{\|x' - x\| \le r}\big(x^t + \alpha \, \mathrm{sign}(\nabla_x L(x^t, y))\big)

    In the norm ``L2()`` the ascent is the gradient, divided by its length. Each tensor of several inputs has a ball of
    its own. Where the samples lie within the bounds, so do the results, and within the ball.

    A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A. Vladu: Towards Deep Learning Models Resistant to Adversarial
    Attacks. arXiv:1706.06083, 2017.

    Args:
        radius: How far a sample may go in all, in units of the input and in that norm.
        step_size: How far it goes in a step.
        steps: How many steps, from 0 up.
        norm: The ball's norm, ``LInf()`` or ``L2()``.
        targeted: Whether the loss is that of what the model is to be misled to, and falls.
        bounds: What values the inputs can have.
        seed: Begin at points drawn uniformly from the ball, from numbers of their own; None: begin at the samples.
        ascent: Whose steepest ascent the steps take, if not the ball's.

    Raises:
        TypeError: If a size is no number, or ``steps`` no integer.
        ValueError: If one of them is negative, or a ball in ``L2()`` has a tensor of radii.
    """

    radius: float | Tensor
    step_size: float | Tensor
    steps: int
    norm: Norm = LInf()
    targeted: bool = False
    bounds: Callable[[Tensor], Tensor] = Bounds()
    seed: int | None = None
    ascent: Norm | None = None

    def __post_init__(self) -> None:
        require_size("radius", self.radius)
        require_size("step_size", self.step_size)
        require_integer("steps", self.steps, 0)
        if isinstance(self.radius, Tensor) and self.radius.ndim > 0 and not isinstance(self.norm, LInf):
            raise ValueError(f"A ball in {self.norm} has one radius, got a tensor {tuple(self.radius.shape)}.")

    def __call__(self, slope: Slope, x: Point, free: Point) -> Point:
        """Perturb inputs; see :class:`~lightning_explain.robust.attack.Attack`.

        Returns:
            Tensors like ``x``.
        """
        z = x if self.seed is None else self.start(x, free, self.seed)
        size = -self.step_size if self.targeted else self.step_size
        for _ in range(self.steps):
            moved = ahead(slope, z, size, self.ascent or self.norm, free)
            changes = (self.norm.project(after - before, self.radius) for after, before in zip(moved, x, strict=True))
            z = tuple(self.bounds(before + change) for before, change in zip(x, changes, strict=True))
        return z

    def start(self, x: Point, free: Point, seed: int) -> Point:
        """Points drawn uniformly from the ball around each sample, then put within the bounds.

        Args:
            x: Inputs (n, ...) each.
            free: 1 for elements that may change, 0 for those that may not; floating point tensors like ``x``.
            seed: Where the numbers begin.

        Returns:
            Tensors like ``x``.
        """
        generator = stream("PGD start", seed)
        pairs = zip(x, free, strict=True)
        return tuple(self.bounds(leaf + self.norm.draw(held, self.radius, generator)) for leaf, held in pairs)
