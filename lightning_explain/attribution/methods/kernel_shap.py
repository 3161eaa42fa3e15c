"""Kernel SHAP."""

from dataclasses import dataclass
from math import comb

import torch
from torch import Tensor

from lightning_explain.attribution.coalitions import bits, per_feature, scores
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point
from lightning_explain.precision import accurate
from lightning_explain.randomness import stream


@METHODS.register("kernel_shap")
@dataclass(frozen=True)
class KernelShap(Method):
    r"""Shapley values as the least squares fit of an additive game to the score of coalitions.

    .. math:: \min_\phi \sum_A \frac{F - 1}{\binom{F}{|A|} |A| (F - |A|)}
              \big(S(z_A) - S(z^0) - \sum_{f \in A} \phi_f\big)^2
              \quad \text{with} \quad \sum_f \phi_f = S(z) - S(z^0)

    where :math:`z_A` has the features in A, and the baseline's elsewhere. Complete, exactly, by the constraint. All
    coalitions are taken, and the values exact, where there are no more than ``n_samples``. Else sizes are drawn as the
    weights say, and each coalition together with its complement; those drawn twice are counted twice and run once. At
    most ``n_samples`` rows, the input and the baseline included; samples share the coalitions, and one factorisation
    in float64 solves for all. With fewer coalitions than features the solution of smallest norm is taken.

    S. Lundberg, S.-I. Lee: A Unified Approach to Interpreting Model Predictions. arXiv:1705.07874, 2017. Paired
    draws: I. Covert, S.-I. Lee: Improving KernelSHAP. arXiv:2012.01536, 2021.

    Args:
        n_samples: Rows for each sample, at most. At least 4.
        seed: Where the random numbers begin.

    Raises:
        ValueError: If ``n_samples`` is less than 4.
    """

    complete = True
    per_feature = True

    n_samples: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_samples < 4:
            raise ValueError(f"n_samples must be at least 4, got {self.n_samples}.")

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        return per_feature(problem, self._attributions)

    def _attributions(self, problem: Problem, count: int) -> Tensor:
        baseline = accurate(problem.baseline_value)
        rise = accurate(problem.value) - baseline
        share = (rise / count)[:, None].expand(-1, count)
        if count == 1:
            return share.to(problem.value)
        coalitions, weights = self._coalitions(count)
        coalitions = coalitions.to(problem.z[0].device)
        rises = accurate(scores(problem, len(coalitions), lambda copy: coalitions[copy])) - baseline[:, None]
        # Deviations from equal shares sum to zero: no other direction is left to fit.
        size = accurate(coalitions).mean(dim=1, keepdim=True)
        root = accurate(weights.to(coalitions.device)).sqrt()[:, None]
        design = root * (accurate(coalitions) - size)
        deviation: Tensor = torch.linalg.pinv(design) @ (root * (rises.T - size * rise))
        return (share + (deviation - deviation.mean(dim=0)).T).to(problem.value)

    def _coalitions(self, count: int) -> tuple[Tensor, Tensor]:
        if 2**count <= self.n_samples:
            every = bits(torch.arange(1, 2**count - 1), count)
            kernel = [1 / (comb(count, size) * size * (count - size)) for size in range(1, count)]
            weights = torch.tensor(kernel, dtype=torch.float64)
            return every, weights[every.sum(dim=1) - 1]
        drawn = draw(count, self.n_samples - 2, self.seed)
        coalitions, times = drawn.unique(dim=0, return_counts=True)
        return coalitions, times


def draw(count: int, coalitions: int, seed: int) -> Tensor:
    """Draw coalitions as the Shapley kernel weights them, each with its complement.

    Args:
        count: The number of features, at least 2.
        coalitions: The number of coalitions; where it is odd, the last comes without its complement.
        seed: Where the random numbers begin.

    Returns:
        Coalitions (coalitions, F) on the CPU, neither empty nor whole.
    """
    generator, pairs = stream("kernel shap", seed), (coalitions + 1) // 2
    weights = torch.tensor([1 / (size * (count - size)) for size in range(1, count)], dtype=torch.float64)
    size = torch.multinomial(weights, pairs, replacement=True, generator=generator) + 1
    rank = torch.rand(pairs, count, generator=generator, dtype=torch.float32).argsort(dim=1)
    drawn = rank < size[:, None]
    return torch.stack([drawn, ~drawn], dim=1).flatten(0, 1)[:coalitions]
