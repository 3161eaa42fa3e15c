"""Internal influence."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_explain.attribution.line import on_the_line, quadrature, require_quadrature
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.place import Input
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point, column


@METHODS.register("internal_influence")
@dataclass(frozen=True)
class InternalInfluence(Method):
    r"""The mean gradient with respect to a layer, while the inputs run along the line from their baseline.

    .. math:: \chi_j = \int_0^1 \frac{\partial S}{\partial z_j}\big(z(x^0 + \alpha (x - x^0))\big) \, d\alpha

    The paper's influence for the distribution that is uniform on the line. At the input it is the mean
    gradient of integrated gradients.

    K. Leino, S. Sen, A. Datta, M. Fredrikson, L. Li: Influence-Directed Explanations for Deep Convolutional Networks.
    arXiv:1802.03788, 2018.

    Args:
        n_steps: Points on the line; each costs a row, forward and backward. At least 1.
        quadrature: As in :class:`~lightning_explain.attribution.methods.IntegratedGradients`.

    Raises:
        ValueError: If ``n_steps`` or ``quadrature`` is not one of these.
    """

    n_steps: int = 32
    quadrature: str = "gauss_legendre"

    def __post_init__(self) -> None:
        require_quadrature(self.quadrature, self.n_steps)

    @property
    def contributes(self) -> bool:  # noqa: D102
        return False

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        nodes, weights = (torch.from_numpy(values) for values in quadrature(self.quadrature, self.n_steps))
        totals: list[Tensor] = []

        def add(rows: Tensor, copies: Tensor, _: Point, gradient: Point) -> None:
            parts = [column(weights.to(leaf)[copies], leaf) * leaf for leaf in gradient]
            if not totals:
                totals.extend(leaf.new_zeros(problem.samples, *leaf.shape[1:]) for leaf in gradient)
            for total, part in zip(totals, parts, strict=True):
                total.index_add_(0, rows, part)

        at_input = problem.at(Input(), problem.target)
        problem.observe(self.n_steps, on_the_line(at_input, nodes), add)
        return tuple(totals)
