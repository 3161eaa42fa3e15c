"""DeepLift, and its mean over a distribution of baselines."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution.background import Background
from lightning_explain.attribution.convergence import Draws, total
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.model import output
from lightning_explain.attribution.passes import Beside
from lightning_explain.attribution.place import Input, Neuron, differentiable
from lightning_explain.attribution.problem import Points, Problem
from lightning_explain.attribution.rules.modules import require_operators
from lightning_explain.attribution.rules.rescale import Rescale
from lightning_explain.attribution.rules.shared import Shared
from lightning_explain.attribution.scoring import explained, replaced
from lightning_explain.attribution.tail import is_replaced
from lightning_explain.inputs import Inputs, Point, leaves, pick

Contribution: TypeAlias = Callable[[Point, Point, Point], Point | Tensor]
"""(multipliers, variable, reference) -> attributions; (m, ...) each, row by row."""

LARGE_DELTA = 0.01


@METHODS.register("deep_lift")
@dataclass(frozen=True)
class DeepLift(Method):
    r"""How much each element contributed to the difference of the score from its baseline.

    Backpropagates multipliers in place of gradients: through a nonlinear operator, the quotient of the differences
    of output and input (the Rescale rule), :math:`m = (f(x) - f(x^0)) / (x - x^0)`.

    .. math:: \phi_i = (z_i - z^0_i) \, m_{z_i}

    Complete up to rounding. Rules belong to operators, so that functional activations, residual connections, reused
    modules, attention, normalisation and recurrent layers are covered.

    A. Shrikumar, P. Greenside, A. Kundaje: Learning Important Features Through Propagating Activation
    Differences. arXiv:1704.02685, 2017.

    Args:
        multiply_by_inputs: False leaves the factor :math:`z - z^0` out: the multipliers.
        eps: Where an operator's input differs by less, its gradient takes the place of the quotient. Positive.
        contribution: What attributions are made of, in the place of :math:`(z - z^0) \, m_z`: a function of the
            multipliers, the variable and its baseline, tuples of tensors, for any number of samples.

    Raises:
        ValueError: If ``eps`` is not positive, or, when called, if the attributions are to be trained on.
    """

    complete = True
    samples_first = True
    one_row = True

    multiply_by_inputs: bool = True
    eps: float = 1e-10
    contribution: Contribution | None = None

    def __post_init__(self) -> None:
        _require_positive(self.eps)

    @property
    def contributes(self) -> bool:  # noqa: D102
        return self.multiply_by_inputs and self.contribution is None

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        return self._draws(problem, summed=False)[0].mean

    def with_deltas(self, problem: Problem) -> tuple[Point, Tensor]:
        """Compute attributions, and how far they are from adding up.

        Returns:
            Tensors like ``problem.z``, and convergence deltas (n, 1).
        """
        draws, spans = self._draws(problem)
        return draws.mean, draws.sums - spans

    def _draws(self, problem: Problem, *, summed: bool = True) -> tuple[Draws, Tensor]:
        lift = _Lift(problem, self.eps, self.multiply_by_inputs, self.contribution)
        found = lift.draws(1, lambda rows, _: pick(problem.z0, rows), summed=summed)
        problem.remember(baseline_value=lift.scores0[0])
        return found


@METHODS.register("deep_lift_shap")
@dataclass(frozen=True)
class DeepLiftShap(Method):
    r"""The mean of DeepLift over a distribution of baselines: an approximation of SHAP values.

    .. math:: \phi_i = \frac1K \sum_k (z_i - z^k_i) \, m^k_{z_i}

    Complete with respect to the mean score of the baselines.

    S. Lundberg, S.-I. Lee: A Unified Approach to Interpreting Model Predictions. arXiv:1705.07874, 2017.

    Args:
        baselines: Samples of the distribution, in the structure of the inputs, (K, ...) each; every sample is compared
            with each. Integer inputs are held fixed at the input, as always. None: the problem's one baseline.
        multiply_by_inputs: False leaves the factor :math:`z - z^k` out: the mean multipliers.
        eps: As in :class:`DeepLift`.
        contribution: As in :class:`DeepLift`; its mean over the baselines is taken.

    Raises:
        ValueError: If ``eps`` is not positive, or, when called, if the baselines do not have the inputs' shapes, or the
            attributions are to be trained on.
    """

    complete = True
    samples_first = True

    baselines: Inputs | None = field(default=None, compare=False, repr=False)
    multiply_by_inputs: bool = True
    eps: float = 1e-10
    contribution: Contribution | None = None

    def __post_init__(self) -> None:
        _require_positive(self.eps)

    @property
    def contributes(self) -> bool:  # noqa: D102
        return self.multiply_by_inputs and self.contribution is None

    def reference(self, problem: Problem) -> Tensor:  # noqa: D102
        def mean() -> Tensor:
            return problem.values(*self._references(problem)).mean(dim=1)

        return problem.remembered(self._key, mean)

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        return self._draws(problem, summed=False)[0].mean

    def with_deltas(self, problem: Problem) -> tuple[Point, Tensor]:
        """Compute attributions, and how far those with respect to each baseline are from adding up.

        Returns:
            Tensors like ``problem.z``, and convergence deltas (n, K).
        """
        draws, spans = self._draws(problem)
        return draws.mean, draws.sums - spans

    def _draws(self, problem: Problem, *, summed: bool = True) -> tuple[Draws, Tensor]:
        lift = _Lift(problem, self.eps, self.multiply_by_inputs, self.contribution)
        found = lift.draws(*self._references(problem), summed=summed)
        problem.remembered(self._key, lambda: lift.scores0.mean(dim=0))
        return found

    @property
    def _key(self) -> tuple[str, int]:
        # Which baselines these are no other key would tell: methods that differ in them alone are equal.
        return "mean score of the baselines", id(self.baselines)

    def _references(self, problem: Problem) -> tuple[int, Points]:
        if self.baselines is None:
            return 1, lambda rows, _: pick(problem.z0, rows)
        known = Background.of(problem, self.baselines)
        return known.count, known.at


@dataclass(eq=False)
class _Lift:
    """The samples against references, chunk by chunk."""

    problem: Problem
    eps: float
    multiply: bool
    contribution: Contribution | None
    scores0: Tensor = field(init=False)
    """The scores at the references (count, n), once they were compared with."""
    _z0: Point = field(init=False)

    def draws(self, count: int, references: Points, *, summed: bool) -> tuple[Draws, Tensor]:
        """Compare with each reference.

        Returns:
            Attributions, and the differences of scores (n, count) that they should add up to.
        """
        self.problem.refuse_graph("DeepLift")
        require_operators(self.problem.model, "DeepLift")
        problem, mode = self.problem, Rescale(self.eps)
        spans = torch.zeros(count, problem.samples, dtype=torch.float64, device=leaves(problem.inputs)[0].device)
        found, variables = Draws(problem.samples, count, summed=summed), list[Point]()
        self.scores0, own = torch.zeros_like(spans), Beside(problem)
        given, at_samples = _samples(problem, own)

        def observed(x: Point, rows: Tensor, copies: Tensor) -> tuple[Point, Tensor]:
            self._z0 = z0 = references(rows, copies)
            (z, scores), scores0 = mode.paired(
                lambda: at_samples(x, rows),
                lambda shared: _score(problem, z0, rows, shared),
                _distinct(problem, z0, rows, copies),
            )
            self.scores0[copies, rows] = scores0.double()
            spans[copies, rows] = scores.detach().double() - scores0.double()
            return z, scores

        def add(rows: Tensor, copies: Tensor, z: Point, multipliers: Point) -> None:
            z = tuple(leaf.detach() for leaf in z)
            found.add(rows, copies, self._contributions(multipliers, z))
            if count == 1:
                variables.append(z)

        problem.observe(count, lambda rows, _: pick(given, rows), add, observed=observed, kind="deep lift")
        own.remember()
        if variables:
            problem.remember(z=tuple(map(torch.cat, zip(*variables, strict=True))))
        if self.multiply and self.contribution is None:
            _warn_if_incomplete(found.mean, spans.mean(dim=0), self._z0[0].dtype)
        return found, spans.T

    def _contributions(self, multipliers: Point, z: Point) -> Point:
        if self.contribution is None:
            factors = [a - b for a, b in zip(z, self._z0, strict=True)] if self.multiply else None
            return multipliers if factors is None else tuple(map(torch.mul, multipliers, factors))
        given = self.contribution(multipliers, z, self._z0)
        point = tuple(leaf.detach() for leaf in ((given,) if isinstance(given, Tensor) else given))
        if len(point) != len(z) or any(leaf.ndim == 0 or len(leaf) != len(z[0]) for leaf in point):
            raise ValueError(
                f"The contribution function gave shapes {[tuple(leaf.shape) for leaf in point]}; expected a tensor"
                f" for each of {len(z)} tensor(s) that are explained, with {len(z[0])} rows."
            )
        return point


def _samples(problem: Problem, own: Beside) -> tuple[Point, Callable[[Point, Tensor], tuple[Point, Tensor]]]:
    # What the samples' pass is given, and how that gives the variable and the score: both at once from the inputs. Of
    # layers behind one another, however, the last alone counts where all are replaced, as they are at the reference.
    if not is_replaced(problem.place) or len(problem.place.layers) == 1:
        return Input().variable(problem, problem.inputs), own.observe

    def score(z: Point, rows: Tensor) -> tuple[Point, Tensor]:
        variable = tuple(map(differentiable, z))
        return variable, own.score(variable, rows)

    return problem.z, score


def _distinct(problem: Problem, z0: Point, rows: Tensor, copies: Tensor) -> Shared | None:
    # Where the variable is a layer's, what else the model computes is each sample's own.
    if not isinstance(problem.place, (Input, Neuron)):
        return None
    return Shared.of(leaves(replaced(problem, z0, rows)), copies)


def _score(problem: Problem, z0: Point, rows: Tensor, shared: Shared | None) -> Tensor:
    # Each sample has a target of its own, though the reference be the same.
    if shared is None:
        return problem.score(z0, rows)
    few, rows_of_few = shared.distinct(z0), rows.index_select(0, shared.first)
    if isinstance(problem.place, Neuron):
        return shared.spread(problem.score(few, rows_of_few))
    given = output(problem.model, replaced(problem, few, rows_of_few), problem.forward, len(rows_of_few))
    return explained(problem, shared.spread(given), rows)


def _require_positive(eps: float) -> None:
    if eps <= 0:
        raise ValueError(f"eps must be positive, got {eps}.")


def _warn_if_incomplete(found: Point, span: Tensor, dtype: torch.dtype) -> None:
    gap, scale = float((total(found) - span).abs().max()), float(span.abs().max())
    if gap > (LARGE_DELTA + 64 * torch.finfo(dtype).eps) * scale:
        warnings.warn(
            f"DeepLift's convergence delta is {gap:.2g} where scores differ from the baseline's by up to {scale:.2g}:"
            " the model does something that no rule covers (an operator of its own, a branch that depends on values),"
            " or divides by next to nothing at the baseline. Another baseline, or integrated gradients, will tell.",
            stacklevel=2,
        )
