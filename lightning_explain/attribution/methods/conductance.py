"""Conductance."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_explain.attribution.line import QUADRATURES, on_the_line
from lightning_explain.attribution.methods.integrated_gradients import IntegratedGradients
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.place import Input, Neuron
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.through import Through
from lightning_explain.inputs import Point
from lightning_explain.registry import unknown


@METHODS.register("conductance")
@dataclass(frozen=True)
class Conductance(Method):
    r"""What flows through a unit while the inputs run along the line from their baseline.

    At a layer, one number for each of its units :math:`j`:

    .. math:: \phi_j = \int_0^1 \frac{\partial S}{\partial z_j} \frac{\partial z_j}{\partial \alpha} \, d\alpha
              \approx \sum_k \frac{g_{j,k} + g_{j,k+1}}{2} \, (z_{j,k+1} - z_{j,k}), \qquad
              z_{j,k} = z_j\big(x^0 + \alpha_k (x - x^0)\big)

    at the middles of n steps of the same size, and at both ends: kinks where two steps meet, as in models with round
    numbers, are then seen from both sides alike. Differences of the activation stand for its derivative, as in
    Shrikumar et al.: where the score is linear in the layer, one step is exact. Complete where all that the score
    depends on passes the layer; the convergence delta shows what goes past it, too. At the input it is integrated
    gradients, with the trapezoidal rule.

    At a neuron, what flows from each input :math:`i` through that unit to the *target* (not to the unit itself):

    .. math:: \phi_i^j = (x_i - x^0_i) \int_0^1 \frac{\partial S}{\partial z_j}
              \frac{\partial z_j}{\partial x_i} \, d\alpha

    which adds up, over the inputs, to the layer's :math:`\phi_j`; of several neurons it is the sum.

    K. Dhamdhere, M. Sundararajan, Q. Yan: How Important Is a Neuron? arXiv:1805.12233, 2018.
    A. Shrikumar, J. Su, A. Kundaje: Computationally Efficient Measures of Internal Neuron Importance. arXiv:1807.09946,
    2018.

    Args:
        n_steps: Steps on the line; ``n_steps + 2`` rows, forward and backward, at a layer (``n_steps`` at a neuron). At
            least 1.
        quadrature: The rule at a neuron, as in :class:`IntegratedGradients`. At a layer no rule for integrals is
            needed, and steps are of the same size.
        multiply_by_inputs: At a neuron, False leaves the factor :math:`x_i - x^0_i` out.

    Raises:
        ValueError: If ``n_steps`` is less than 1, or there is no such quadrature.
    """

    complete = True
    through = True

    n_steps: int = 32
    quadrature: str = "gauss_legendre"
    multiply_by_inputs: bool = True

    def __post_init__(self) -> None:
        if self.n_steps < 1:
            raise ValueError(f"n_steps must be at least 1, got {self.n_steps}.")
        if self.quadrature not in QUADRATURES:
            raise ValueError(unknown("quadrature", self.quadrature, QUADRATURES))

    @property
    def contributes(self) -> bool:  # noqa: D102
        return self.multiply_by_inputs

    def reference(self, problem: Problem) -> Tensor:
        """The score at the inputs' baseline; integers that the inputs hold fixed are so here, too.

        Returns:
            Scores (n,).
        """
        return problem.at(Input(), problem.target).baseline_value

    def __call__(self, problem: Problem) -> Point:
        """Compute attributions.

        Returns:
            Tensors like ``problem.z``, detached.

        Raises:
            ValueError: If the conductance of a neuron is to be trained on.
        """
        if isinstance(problem.place, Neuron):
            problem.refuse_graph("The conductance of a neuron")
            through = problem.at(Through(**vars(problem.place)), problem.target)
            return IntegratedGradients(self.n_steps, self.quadrature, self.multiply_by_inputs)(through)
        flow = _Flow(problem.samples, problem.create_graph)
        middles = (torch.arange(self.n_steps, dtype=torch.float64) + 0.5) / self.n_steps
        nodes = torch.cat([middles.new_zeros(1), middles, middles.new_ones(1)])
        problem.observe(len(nodes), on_the_line(problem.at(Input(), problem.target), nodes), flow.add)
        return tuple(flow.totals)


@dataclass
class _Flow:
    """Running sums of mean gradient times difference, between neighbors on the line."""

    samples: int
    create_graph: bool
    totals: list[Tensor] = field(default_factory=list)
    # The last point of every sample: pairs come copy by copy, so its predecessor is ``samples`` pairs back.
    last: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def add(self, rows: Tensor, copies: Tensor, variable: Point, gradient: Point) -> None:
        if not self.totals:
            self.totals = [leaf.new_zeros(self.samples, *leaf.shape[1:]) for leaf in gradient]
            self.last = [(leaf[:0], leaf[:0]) for leaf in gradient]
        known = [torch.cat([last, self._kept(z).to(last)]) for (last, _), z in zip(self.last, variable, strict=True)]
        slopes = [torch.cat([last, slope]) for (_, last), slope in zip(self.last, gradient, strict=True)]
        later = copies > 0
        here = torch.arange(len(rows), device=rows.device)[later] + len(known[0]) - len(rows)
        before = here - self.samples
        parts = [
            (slope[here] + slope[before]) / 2 * (z[here] - z[before]) for z, slope in zip(known, slopes, strict=True)
        ]
        for total, part in zip(self.totals, parts, strict=True):
            total.index_add_(0, rows[later], part)
        self.last = [(z[-self.samples :], slope[-self.samples :]) for z, slope in zip(known, slopes, strict=True)]

    def _kept(self, tensor: Tensor) -> Tensor:
        return tensor if self.create_graph else tensor.detach()
