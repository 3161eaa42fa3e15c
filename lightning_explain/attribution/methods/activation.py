"""Activations."""

from dataclasses import dataclass

from lightning_explain.attribution.derivative import accumulator
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point, is_continuous


@METHODS.register("activation")
@dataclass(frozen=True)
class Activation(Method):
    """What the variable is, :math:`z`: at a layer its activations, whatever is explained.

    Times its gradient it is ``input_x_gradient`` at that layer; what the inputs do to one unit is explained by any
    method at ``Neuron(name, index)``.

    D. Erhan, Y. Bengio, A. Courville, P. Vincent: Visualizing Higher-Layer Features of a Deep Network. Technical report
    1341, University of Montreal, 2009 (no arXiv version).
    """

    about_score = False

    @property
    def contributes(self) -> bool:  # noqa: D102
        return False

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        return tuple(z.to(accumulator(z) if is_continuous(z) else z.dtype, copy=True) for z in problem.z)
