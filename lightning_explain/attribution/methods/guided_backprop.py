"""Guided backpropagation and deconvolution."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.passes import Beside
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.rules.modules import require_operators
from lightning_explain.attribution.rules.rectified import DECONVOLUTION, GUIDED, Rectified, Step
from lightning_explain.inputs import Point


class _Rectified(Method):
    """The gradient, with another backward step for rectifiers."""

    rules: ClassVar[Mapping[str, Step]]

    samples_first = True
    one_row = True

    @property
    def contributes(self) -> bool:
        return False

    def __call__(self, problem: Problem) -> Point:
        problem.refuse_graph(self.name)
        require_operators(problem.model, self.name)
        mode, own = Rectified(self.name, self.rules), Beside(problem)

        def score(z: Point, rows: Tensor, _: Tensor) -> Tensor:
            with mode:
                return own.score(z, rows)

        def at_samples(rows: Tensor, _: Tensor) -> Point:
            return tuple(leaf.index_select(0, rows) for leaf in problem.z)

        found = problem.gradient_mean(1, at_samples, score=score)
        own.remember()
        return found


@METHODS.register("guided_backprop")
@dataclass(frozen=True)
class GuidedBackprop(_Rectified):
    r"""The gradient, whose negative part is dropped at every ReLU: :math:`g_x = g_y \, [x > 0] \, [g_y > 0]`.

    Rectifiers are ReLU, ReLU6 and hard tanh from 0, however they are called; a ReLU6 that is saturated is closed.
    Leaky ReLU, GELU, hard tanh from -1 and other activations keep their gradient: the paper has no rule for them. A
    model without rectifiers is given its plain gradient.

    J. T. Springenberg et al.: Striving for Simplicity. arXiv:1412.6806, 2014.
    """

    rules = GUIDED


@METHODS.register("deconvolution")
@dataclass(frozen=True)
class Deconvolution(_Rectified):
    r"""The gradient, rectified at every ReLU in place of masked by it: :math:`g_x = g_y \, [g_y > 0]`.

    Rectifiers as in :class:`GuidedBackprop`.

    M. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks. arXiv:1311.2901, 2013.
    """

    rules = DECONVOLUTION
