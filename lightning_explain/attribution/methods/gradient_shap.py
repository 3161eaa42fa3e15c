"""GradientSHAP and expected gradients."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_explain.attribution.background import Background, in_turn
from lightning_explain.attribution.convergence import Draws
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.noise import Deviation, Unit, gaussian_for, noisy, require_noise
from lightning_explain.attribution.problem import Points, Problem
from lightning_explain.inputs import Inputs, Point, column, pick
from lightning_explain.randomness import stream


@METHODS.register("gradient_shap")
@dataclass(frozen=True)
class GradientShap(Method):
    r"""The gradient at random points between random baselines and the noisy variable, times the difference.

    .. math:: \phi_i = \frac1n \sum_k (z_i + \epsilon_{k,i} - b_{k,i}) \,
              \frac{\partial S}{\partial z_i}\big(b_k + \alpha_k (z + \epsilon_k - b_k)\big)

    Complete in expectation: the attributions sum to the score minus the mean score of the baselines that were drawn, up
    to the convergence delta, which falls with ``n_samples``. The :math:`\alpha_k` are uniform on [0, 1], one in each of
    n equal parts, and the baselines are drawn without repetition as long as they last: both lower the variance and
    leave the mean. All samples share the draws, so that a sample's attributions do not depend on its neighbors.

    S. M. Lundberg, S.-I. Lee: A Unified Approach to Interpreting Model Predictions. arXiv:1705.07874, 2017.

    Args:
        n_samples: Draws; each costs a row, forward and backward, and one forward for its baseline. At least 1.
        stdev: The standard deviation of Gaussian noise that is added to the inputs: a number, or one for each input
            that attributions are about.
        baselines: The distribution of baselines, tensors (K, ...) in the structure of the inputs; None: each
            sample's own baseline alone. Two methods that differ in them alone count as equal.
        multiply_by_inputs: False leaves the difference out: the expected gradient.
        seed: Where the draws begin.
        unit: What ``stdev`` is measured in: ``"range"``, each sample's max - min in that input, or ``"absolute"``.

    Raises:
        ValueError: If ``n_samples`` or ``stdev`` is too small, or there is no such unit.
    """

    complete = True

    n_samples: int = 32
    stdev: Deviation = 0.0
    baselines: Inputs | None = field(default=None, compare=False, repr=False)
    multiply_by_inputs: bool = True
    seed: int = 0
    unit: Unit = "range"

    def __post_init__(self) -> None:
        if self.n_samples < 1:
            raise ValueError(f"n_samples must be at least 1 for {type(self).__name__}, got {self.n_samples}.")
        require_noise(self.stdev, self.unit)

    @property
    def contributes(self) -> bool:  # noqa: D102
        return self.multiply_by_inputs

    def reference(self, problem: Problem) -> Tensor:
        """The mean score of the baselines that were drawn.

        Returns:
            Scores (n,).
        """
        if self.baselines is None:
            return problem.baseline_value
        known = Background.of(problem, self.baselines)
        chosen, times = self._draws(known.count)[1].unique(return_counts=True)
        scores = problem.values(len(chosen), lambda rows, copies: known.at(rows, chosen.to(rows.device)[copies]))
        return torch.mv(scores.double(), times.to(scores.device).double() / self.n_samples)

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        start, end = self._ends(problem)
        differences = self._differences(start, end) if self.multiply_by_inputs else None
        return problem.gradient_mean(self.n_samples, self._between(start, end), factors=differences)

    def with_deltas(self, problem: Problem) -> tuple[Point, Tensor]:
        """Compute attributions, and how far those of each draw are from adding up.

        Returns:
            Tensors like ``problem.z``, and for each draw the sum of its attributions less the score of the noisy
            variable plus that of its baseline, (n, n_samples).
        """
        start, end = self._ends(problem)
        differences, draws = self._differences(start, end), Draws(problem.samples, self.n_samples)

        def add(rows: Tensor, copies: Tensor, _: Point, gradients: Point) -> None:
            if self.multiply_by_inputs:
                gradients = tuple(map(torch.mul, gradients, differences(rows, copies)))
            draws.add(rows, copies, gradients)

        problem.gradients_at(self.n_samples, self._between(start, end), add)
        spans = problem.values(self.n_samples, end).double() - problem.values(self.n_samples, start).double()
        return draws.mean, draws.sums - spans.detach()

    def _between(self, start: Points, end: Points) -> Points:
        alphas = self._draws(1)[0]

        def between(rows: Tensor, copies: Tensor) -> Point:
            pairs = zip(start(rows, copies), end(rows, copies), strict=True)
            return tuple(base + column(alphas.to(z)[copies], z) * (z - base) for base, z in pairs)

        return between

    def _differences(self, start: Points, end: Points) -> Points:
        return lambda rows, copies: tuple(
            z - base for base, z in zip(start(rows, copies), end(rows, copies), strict=True)
        )

    def _ends(self, problem: Problem) -> tuple[Points, Points]:
        # The baseline, and the noisy variable, of each pair of a sample and a draw.
        noise = gaussian_for(problem, self.stdev, self.seed, self.unit)

        def end(rows: Tensor, copies: Tensor) -> Point:
            if not self._is_noisy:
                return pick(problem.z, rows)
            return problem.place.variable(problem, noisy(problem.inputs, noise, rows, copies))

        if self.baselines is None:
            return lambda rows, _: pick(problem.z0, rows), end
        known = Background.of(problem, self.baselines)
        drawn = self._draws(known.count)[1]
        return lambda rows, copies: known.at(rows, drawn.to(rows.device)[copies]), end

    @property
    def _is_noisy(self) -> bool:
        return any(self.stdev) if isinstance(self.stdev, tuple) else self.stdev > 0

    def _draws(self, baselines: int) -> tuple[Tensor, Tensor]:
        # Where on the line (n_samples,), and from which baseline.
        generator = stream("gradient shap", self.seed)
        parts = torch.randperm(self.n_samples, generator=generator)
        alphas = (parts + torch.rand(self.n_samples, generator=generator, dtype=torch.float64)) / self.n_samples
        return alphas, in_turn(baselines, self.n_samples, generator)


@METHODS.register("expected_gradients")
@dataclass(frozen=True)
class ExpectedGradients(GradientShap):
    r"""Integrated gradients in expectation over baselines from the data, :math:`b \sim D`.

    .. math:: \phi_i = E_{b \sim D, \, \alpha \sim U(0, 1)} \Big[ (z_i - b_i) \,
              \frac{\partial S}{\partial z_i}\big(b + \alpha (z - b)\big) \Big]

    The same estimate as :class:`GradientShap` without noise; give ``baselines``, samples of the training data.

    G. Erion, J. D. Janizek, P. Sturmfels, S. Lundberg, S.-I. Lee: Improving performance of deep learning models with
    axiomatic attribution priors and expected gradients. arXiv:1906.10670, 2019.
    """
