"""Input times gradient."""

from dataclasses import dataclass

from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point


@METHODS.register("input_x_gradient")
@dataclass(frozen=True)
class InputXGradient(Method):
    r"""The first-order term at the input, :math:`z_i \, \partial S / \partial z_i`; no baseline takes part.

    A. Shrikumar, P. Greenside, A. Shcherbina, A. Kundaje: Not Just a Black Box. arXiv:1605.01713, 2016.
    """

    one_pass = True

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        gradients = problem.gradient()  # first: the pass gives the variable too
        return tuple(z * gradient for z, gradient in zip(problem.z, gradients, strict=True))
