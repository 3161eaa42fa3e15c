"""GradientSHAP and expected gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.methods.noise_tunnel import gaussian, noisy
from lightning_explain.attribution.problem import Problem
from lightning_explain.baseline import background
from lightning_explain.inputs import Inputs, Point, column, pick
from lightning_explain.randomness import stream

Ends: TypeAlias = Callable[[Tensor, Tensor], tuple[Point, Point]]


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
        stdev: The standard deviation of Gaussian noise that is added to the inputs, in units of each sample's range.
        baselines: The distribution of baselines, tensors (K, ...) in the structure of the inputs; None: each
            sample's own baseline alone. Two methods that differ in them alone count as equal.
        multiply_by_inputs: False leaves the difference out: the expected gradient.
        seed: Where the draws begin.

    Raises:
        ValueError: If ``n_samples`` or ``stdev`` is too small.
    """

    complete = True

    n_samples: int = 32
    stdev: float = 0.0
    baselines: Inputs | None = field(default=None, compare=False, repr=False)
    multiply_by_inputs: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_samples < 1:
            raise ValueError(f"n_samples must be at least 1 for {type(self).__name__}, got {self.n_samples}.")
        if self.stdev < 0:
            raise ValueError(f"stdev must not be negative, got {self.stdev}.")

    @property
    def contributes(self) -> bool:  # noqa: D102
        return self.multiply_by_inputs

    def reference(self, problem: Problem) -> Tensor:
        """The mean score of the baselines that were drawn.

        Returns:
            Scores (n,).
        """
        known = self._background(problem)
        if known is None:
            return problem.baseline_value
        chosen, times = self._draws(len(known[0]))[1].unique(return_counts=True)
        scores = problem.values(
            len(chosen), lambda _, copies: tuple(leaf[chosen.to(leaf.device)[copies]] for leaf in known)
        )
        shares = times.to(scores.device).double() / self.n_samples
        return torch.mv(scores.double(), shares)

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        ends = self._ends(problem)
        alphas = self._draws(1)[0]

        def between(rows: Tensor, copies: Tensor) -> Point:
            return tuple(
                base + column(alphas.to(z)[copies], z) * (z - base) for z, base in zip(*ends(rows, copies), strict=True)
            )

        def differences(rows: Tensor, copies: Tensor) -> Point:
            return tuple(z - base for z, base in zip(*ends(rows, copies), strict=True))

        return problem.gradient_mean(self.n_samples, between, factors=differences if self.multiply_by_inputs else None)

    def _ends(self, problem: Problem) -> Ends:
        # The noisy variable and the baseline of each pair of a sample and a draw.
        known = self._background(problem)
        starts = problem.z0 if known is None else known
        drawn = None if known is None else self._draws(len(known[0]))[1].to(starts[0].device)
        noise = gaussian(problem.inputs, self.stdev, self.seed)

        def ends(rows: Tensor, copies: Tensor) -> tuple[Point, Point]:
            base = tuple(leaf[rows if drawn is None else drawn[copies]] for leaf in starts)
            if self.stdev == 0:
                return pick(problem.z, rows), base
            return problem.place.variable(problem, noisy(problem.inputs, noise, rows, copies)), base

        return ends

    def _background(self, problem: Problem) -> Point | None:
        if self.baselines is None:
            return None
        return problem.with_inputs(background(self.baselines, problem.inputs)).z

    def _draws(self, baselines: int) -> tuple[Tensor, Tensor]:
        # Where on the line (n_samples,), and from which baseline.
        generator = stream("gradient shap", self.seed)
        parts = torch.randperm(self.n_samples, generator=generator)
        alphas = (parts + torch.rand(self.n_samples, generator=generator, dtype=torch.float64)) / self.n_samples
        rounds = -(-self.n_samples // baselines)
        order = torch.cat([torch.randperm(baselines, generator=generator) for _ in range(rounds)])
        return alphas, order[: self.n_samples]


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
