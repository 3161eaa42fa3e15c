"""Noise tunnel: any method, over noisy copies of the inputs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lightning_explain.attribution.background import Background, in_turn
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.methods.saliency import Saliency
from lightning_explain.attribution.noise import Deviation, Unit, gaussian_for, noisy, require_noise
from lightning_explain.attribution.place import Place
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Inputs, Point, leaves
from lightning_explain.randomness import stream

TRAITS = ("coarse", "compares", "through", "about_score", "needs_attention")
"""What a tunnel is because its method is."""

Statistic = Literal["mean", "square", "variance"]
Explained = Callable[[Problem, Tensor, Tensor], Point]
"""(problem, samples, copies) -> the attributions of noisy copies."""


@dataclass(frozen=True)
class NoiseTunnel(Method):
    """A statistic of another method's attributions over noisy copies of the inputs.

    The noise is Gaussian, added to the inputs also where the place is a layer, and drawn from a
    generator of its own: it depends on ``seed`` alone, and no global state moves. All samples get the
    same noise, each in its own units, so that a sample's attributions do not depend on its neighbors.

    Args:
        method: The method.
        n_samples: Noisy copies of each sample. At least 1 (2 for the variance).
        stdev: The noise's standard deviation: a number, or one for each input that attributions are about. Not
            negative.
        seed: Where the noise begins.
        unit: What ``stdev`` is measured in: ``"range"``, each sample's max - min in that input, or ``"absolute"``.
        baselines: A distribution of baselines, one of which is drawn for each copy: tensors (K, ...) in the structure
            of the inputs; None: the samples' own. Two methods that differ in them alone count as equal.

    Raises:
        ValueError: If ``n_samples`` or ``stdev`` is too small, or there is no such unit.
    """

    statistic: ClassVar[Statistic] = "mean"

    method: Method = field(default_factory=lambda: Saliency(absolute=False))
    n_samples: int = 16
    stdev: Deviation = 0.15
    seed: int = 0
    unit: Unit = "range"
    baselines: Inputs | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        least = 2 if self.statistic == "variance" else 1
        if self.n_samples < least:
            raise ValueError(f"n_samples must be at least {least} for {type(self).__name__}, got {self.n_samples}.")
        require_noise(self.stdev, self.unit)
        for trait in TRAITS:
            object.__setattr__(self, trait, getattr(self.method, trait))
        # Elements of a feature share a statistic; that features share a coefficient is said of their mean.
        object.__setattr__(self, "per_feature", self.method.per_feature and self.statistic == "mean")

    @property
    def contributes(self) -> bool:  # noqa: D102
        return self.method.contributes

    def place(self) -> Place | None:  # noqa: D102
        return self.method.place()

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        return self._statistic(problem, lambda part, *_: self.method(part))

    def with_deltas(self, problem: Problem) -> tuple[Point, Tensor]:
        """Compute attributions, and how far those of each copy are from adding up.

        Returns:
            Tensors like ``problem.z``, and the method's deltas of each copy in turn, (n, n_samples * draws).
        """
        found: list[tuple[Tensor, Tensor, Tensor]] = []

        def explained(part: Problem, rows: Tensor, copies: Tensor) -> Point:
            point, deltas = self.method.with_deltas(part)
            found.append((rows, copies, deltas))
            return point

        point = self._statistic(problem, explained)
        rows, copies, deltas = map(torch.cat, zip(*found, strict=True))
        ordered = deltas.new_empty(problem.samples, self.n_samples, deltas.shape[1])
        ordered[rows, copies] = deltas
        return point, ordered.flatten(1)

    def _statistic(self, problem: Problem, explained: Explained) -> Point:
        moments = Moments(self.statistic, self.n_samples)
        for rows, copies, part in self._parts(problem):
            moments.add(problem.samples, rows, copies, explained(part, rows, copies))
        return moments.result()

    def _parts(self, problem: Problem) -> Iterator[tuple[Tensor, Tensor, Problem]]:
        # Noisy copies, one chunk of rows at a time.
        noise = gaussian_for(problem, self.stdev, self.seed, self.unit)
        known = None if self.baselines is None else Background.of(problem, self.baselines)
        n, device = problem.samples, leaves(problem.inputs)[0].device
        copy_by_copy = (slice(start, start + n) for start in range(0, self.n_samples * n, n))
        part: Problem | None = None
        for chunk in copy_by_copy if self.compares else problem.budget.slices(self.n_samples * n, device):
            index = torch.arange(chunk.start, chunk.stop, device=device)
            rows, copies = index % n, index // n
            if part is not None and known is None and "z0" in vars(part):
                problem.z0  # noqa: B018  (it will be asked for again, and the noise leaves it as it is)
            part = problem.select(rows).with_inputs(noisy(problem.inputs, noise, rows, copies))
            if known is not None:
                drawn = in_turn(known.count, self.n_samples, stream("noise tunnel baselines", self.seed)).to(device)
                part = replace(part, baseline=known.inputs(rows, drawn[copies]))
            yield rows, copies, part


@METHODS.register("smoothgrad")
@dataclass(frozen=True)
class SmoothGrad(NoiseTunnel):
    r"""The mean attribution over noisy inputs, :math:`\frac1n \sum_k \phi(x + \epsilon_k)`.

    The paper smooths signed gradients, as by default here.

    D. Smilkov et al.: SmoothGrad. arXiv:1706.03825, 2017.
    """


@METHODS.register("smoothgrad_sq")
@dataclass(frozen=True)
class SmoothGradSquared(NoiseTunnel):
    r"""The mean squared attribution over noisy inputs, :math:`\frac1n \sum_k \phi(x + \epsilon_k)^2`.

    S. Hooker et al.: A Benchmark for Interpretability Methods. arXiv:1806.10758, 2018.
    """

    statistic = "square"


@METHODS.register("vargrad")
@dataclass(frozen=True)
class VarGrad(NoiseTunnel):
    r"""The variance (biased, divided by n) of the attribution over noisy inputs.

    J. Adebayo et al.: Local Explanation Methods for Deep Neural Networks Lack Sensitivity to Parameter
    Values. arXiv:1810.03307, 2018.
    """

    statistic = "variance"


class Moments:
    """Running sums of every sample's attributions and of their squares.

    Args:
        statistic: What is wanted of them.
        copies: The number of noisy copies.
    """

    def __init__(self, statistic: Statistic, copies: int) -> None:
        self.statistic, self.copies = statistic, copies
        self.totals: list[Tensor] = []
        self.squares: list[Tensor] = []
        self.origin: list[Tensor] = []

    def add(self, samples: int, rows: Tensor, copies: Tensor, attribution: Point) -> None:
        """Take the attributions of some noisy copies.

        Args:
            samples: The number of samples n.
            rows: Which samples (m,).
            copies: Which copies of them (m,); 0 comes first.
            attribution: Their attributions (m, ...) each.
        """
        if not self.totals:
            self.totals = [leaf.new_zeros(samples, *leaf.shape[1:]) for leaf in attribution]
            self.squares = [torch.zeros_like(total) for total in self.totals]
            self.origin = [torch.zeros_like(total) for total in self.totals]
        for total, square, origin, leaf in zip(self.totals, self.squares, self.origin, attribution, strict=True):
            if self.statistic == "variance":
                # Deviations from the first copy: E[x^2] - E[x]^2 would cancel.
                first = copies == 0
                origin[rows[first]] = leaf[first]
                leaf = leaf - origin[rows]
            total.index_add_(0, rows, leaf)
            if self.statistic != "mean":
                square.index_add_(0, rows, leaf**2)

    def result(self) -> Point:
        """The statistic.

        Returns:
            Tensors (n, ...).
        """
        if self.statistic == "mean":
            return tuple(total / self.copies for total in self.totals)
        if self.statistic == "square":
            return tuple(square / self.copies for square in self.squares)
        return tuple(
            (square / self.copies - (total / self.copies) ** 2).clamp(min=0)
            for square, total in zip(self.squares, self.totals, strict=True)
        )
