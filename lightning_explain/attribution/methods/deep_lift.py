"""DeepLift, and its mean over a distribution of baselines."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.problem import Points, Problem
from lightning_explain.attribution.rules.pullback import scaled
from lightning_explain.attribution.rules.rescale import Rescale
from lightning_explain.baseline import background
from lightning_explain.inputs import Inputs, Point, batch_size, pick

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

    Raises:
        ValueError: If ``eps`` is not positive, or, when called, if the attributions are to be trained on.
    """

    complete = True
    samples_first = True

    multiply_by_inputs: bool = True
    eps: float = 1e-10

    def __post_init__(self) -> None:
        if self.eps <= 0:
            raise ValueError(f"eps must be positive, got {self.eps}.")

    @property
    def contributes(self) -> bool:  # noqa: D102
        return self.multiply_by_inputs

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        lift = _Lift(problem, self.eps, self.multiply_by_inputs)
        found = lift.mean(1, lambda rows, _: pick(problem.z0, rows))
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

    Raises:
        ValueError: If ``eps`` is not positive, or, when called, if the baselines do not have the inputs' shapes, or the
            attributions are to be trained on.
    """

    complete = True
    samples_first = True

    baselines: Inputs | None = field(default=None, compare=False, repr=False)
    multiply_by_inputs: bool = True
    eps: float = 1e-10

    def __post_init__(self) -> None:
        if self.eps <= 0:
            raise ValueError(f"eps must be positive, got {self.eps}.")

    @property
    def contributes(self) -> bool:  # noqa: D102
        return self.multiply_by_inputs

    def reference(self, problem: Problem) -> Tensor:  # noqa: D102
        def mean() -> Tensor:
            return problem.values(*self._references(problem)).mean(dim=1)

        return problem.remembered(self._key, mean)

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        lift = _Lift(problem, self.eps, self.multiply_by_inputs)
        found = lift.mean(*self._references(problem))
        problem.remembered(self._key, lambda: lift.scores0.mean(dim=0))
        return found

    @property
    def _key(self) -> tuple[str, int]:
        # Which baselines these are no other key would tell: methods that differ in them alone are equal.
        return "mean score of the baselines", id(self.baselines)

    def _references(self, problem: Problem) -> tuple[int, Points]:
        if self.baselines is None:
            return 1, lambda rows, _: pick(problem.z0, rows)
        held = background(self.baselines, problem.inputs)
        variable = replace(problem, inputs=held, baseline=held, target=None).z
        return batch_size(held), lambda _, copies: pick(variable, copies)


@dataclass(eq=False)
class _Lift:
    """The samples against references, chunk by chunk."""

    problem: Problem
    eps: float
    multiply: bool
    scores0: Tensor = field(init=False)
    """The scores at the references (count, n), once the mean is taken."""

    def mean(self, count: int, references: Points) -> Point:
        self.problem.refuse_graph("DeepLift")
        problem, mode = self.problem, Rescale(self.eps)
        spans = torch.zeros(count, problem.samples, dtype=torch.float64, device=problem.z[0].device)
        self.scores0 = torch.zeros_like(spans)

        def score(z: Point, rows: Tensor, copies: Tensor) -> Tensor:
            z0 = references(rows, copies)
            # What comes out of the backward pass is then a contribution, whose mean over references is wanted.
            given = tuple(scaled(a, a.detach() - b) for a, b in zip(z, z0, strict=True)) if self.multiply else z
            scores, scores0 = mode.paired(lambda: problem.score(given, rows), lambda: problem.score(z0, rows))
            self.scores0[copies, rows] = scores0.double()
            spans[copies, rows] = scores.detach().double() - scores0.double()
            return scores

        found = problem.gradient_mean(count, lambda rows, _: pick(problem.z, rows), score=score, kind="deep lift")
        if self.multiply:
            _warn_if_incomplete(found, spans.mean(dim=0), problem.z[0].dtype)
        return found


def _warn_if_incomplete(found: Point, span: Tensor, dtype: torch.dtype) -> None:
    total = torch.stack([leaf.double().reshape(len(leaf), -1).sum(dim=1) for leaf in found]).sum(dim=0)
    gap, scale = float((total - span).abs().max()), float(span.abs().max())
    if gap > (LARGE_DELTA + 64 * torch.finfo(dtype).eps) * scale:
        warnings.warn(
            f"DeepLift's convergence delta is {gap:.2g} where scores differ from the baseline's by up to {scale:.2g}:"
            " the model does something that no rule covers (an operator of its own, a branch that depends on values),"
            " or divides by next to nothing at the baseline. Another baseline, or integrated gradients, will tell.",
            stacklevel=2,
        )
