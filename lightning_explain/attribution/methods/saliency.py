"""Saliency: the gradient."""

from dataclasses import dataclass

from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point


@METHODS.register("saliency")
@dataclass(frozen=True)
class Saliency(Method):
    r"""The size of the gradient, :math:`|\partial S / \partial z_i|`.

    K. Simonyan, A. Vedaldi, A. Zisserman: Deep Inside Convolutional Networks. arXiv:1312.6034, 2013.

    Args:
        absolute: The absolute value, as in the paper; False keeps the sign.
    """

    one_pass = True

    absolute: bool = True

    @property
    def contributes(self) -> bool:  # noqa: D102
        return False

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        gradient = problem.gradient()
        return tuple(leaf.abs() for leaf in gradient) if self.absolute else gradient
