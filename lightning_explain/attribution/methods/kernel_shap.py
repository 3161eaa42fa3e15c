"""Kernel SHAP."""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import torch
from torch import Tensor

from lightning_explain.attribution.coalitions import per_feature, scores
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
    coalitions are taken, and the values exact, where there are no more than ``n_samples``. Else all those of the
    smallest and largest sizes, for as long as their share of the weights pays for them; of the other sizes coalitions
    are drawn, each together with its complement, and those drawn twice are counted twice and run once. At most
    ``n_samples`` rows, the input and the baseline included; samples share the coalitions, and one factorisation in
    float64 solves for all. With too few coalitions to tell all features apart the solution of smallest norm is taken.

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
    shares_points = True

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
        coalitions, weights = weighted_coalitions(count, self.n_samples - 2, self.seed)
        coalitions = coalitions.to(problem.z[0].device)
        rises = accurate(scores(problem, len(coalitions), lambda copy: coalitions[copy])) - baseline[:, None]
        # Deviations from equal shares sum to zero: no other direction is left to fit.
        size = accurate(coalitions).mean(dim=1, keepdim=True)
        root = accurate(weights.to(coalitions.device)).sqrt()[:, None]
        design = root * (accurate(coalitions) - size)
        deviation: Tensor = torch.linalg.pinv(design) @ (root * (rises.T - size * rise))
        return (share + (deviation - deviation.mean(dim=0)).T).to(problem.value)


def weighted_coalitions(count: int, most: int, seed: int) -> tuple[Tensor, Tensor]:
    """Coalitions that stand for all, as the Shapley kernel weights these.

    Args:
        count: The number of features F, at least 2.
        most: The most coalitions, at least 2; the empty one and the whole are not among them.
        seed: Where the random numbers begin.

    Returns:
        Different coalitions (K, F), on the CPU, and their weights (K,), float64, which sum to 1.
    """
    # The kernel's mass of the sizes k and F - k together.
    mass = [(1 if 2 * size == count else 2) / (size * (count - size)) for size in range(1, count // 2 + 1)]
    left, size, parts, weights = most, 1, [], []
    while size <= len(mass):
        number = comb(count, size) * (1 if 2 * size == count else 2)
        if number > left * mass[size - 1] / sum(mass[size - 1 :]):
            break
        parts.append(_of_size(count, size))
        weights.append(torch.full((number,), mass[size - 1] / number, dtype=torch.float64))
        left, size = left - number, size + 1
    if size <= len(mass) and left:
        drawn, times = draw(count, size, left, seed).unique(dim=0, return_counts=True)
        parts.append(drawn)
        weights.append(times.double() / left * sum(mass[size - 1 :]))
    weight = torch.cat(weights)
    return torch.cat(parts), weight / weight.sum()


def draw(count: int, least: int, coalitions: int, seed: int) -> Tensor:
    """Draw coalitions as the Shapley kernel weights them, each with its complement.

    Args:
        count: The number of features F.
        least: The smallest size; the largest is F less that.
        coalitions: The number of coalitions; where it is odd, the last comes without its complement.
        seed: Where the random numbers begin.

    Returns:
        Coalitions (coalitions, F), on the CPU.
    """
    generator, pairs = stream("kernel shap", seed), (coalitions + 1) // 2
    sizes = torch.arange(least, count - least + 1)
    chosen = torch.multinomial(1 / (sizes * (count - sizes)).double(), pairs, replacement=True, generator=generator)
    rank = torch.rand(pairs, count, generator=generator, dtype=torch.float32).argsort(dim=1)
    drawn = rank < sizes[chosen][:, None]
    return torch.stack([drawn, ~drawn], dim=1).flatten(0, 1)[:coalitions]


def _of_size(count: int, size: int) -> Tensor:
    # All coalitions of a size, and their complements.
    members = torch.tensor(list(combinations(range(count), size)))
    chosen = torch.zeros(len(members), count, dtype=torch.bool).scatter_(1, members, value=True)
    return chosen if 2 * size == count else torch.cat([chosen, ~chosen])
