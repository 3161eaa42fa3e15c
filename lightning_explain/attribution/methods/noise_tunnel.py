"""Noise tunnel: any method, over noisy copies of the inputs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.methods.saliency import Saliency
from lightning_explain.attribution.place import Place
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Inputs, Point, column, is_continuous, leaves, rebuild
from lightning_explain.randomness import stream

TRAITS = ("coarse", "through", "about_score", "needs_attention")
"""What a tunnel is because its method is."""

Statistic = Literal["mean", "square", "variance"]
Noise = Callable[[int], Point]
"""Copy number -> one noise tensor for each input, of its shape."""


@dataclass(frozen=True)
class NoiseTunnel(Method):
    """A statistic of another method's attributions over noisy copies of the inputs.

    The noise is Gaussian, added to the inputs also where the place is a layer, and drawn from a
    generator of its own: it depends on ``seed`` alone, and no global state moves. All samples get the
    same noise, each in its own units, so that a sample's attributions do not depend on its neighbors.

    Args:
        method: The method.
        n_samples: Noisy copies of each sample. At least 1 (2 for the variance).
        stdev: The noise's standard deviation, in units of each sample's range (max - min) in
            that input. Not negative.
        seed: Where the noise begins.

    Raises:
        ValueError: If ``n_samples`` or ``stdev`` is too small.
    """

    statistic: ClassVar[Statistic] = "mean"

    method: Method = field(default_factory=lambda: Saliency(absolute=False))
    n_samples: int = 16
    stdev: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        least = 2 if self.statistic == "variance" else 1
        if self.n_samples < least:
            raise ValueError(f"n_samples must be at least {least} for {type(self).__name__}, got {self.n_samples}.")
        if self.stdev < 0:
            raise ValueError(f"stdev must not be negative, got {self.stdev}.")
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
        moments = _Moments(self.statistic, self.n_samples)
        noise = gaussian(problem.inputs, self.stdev, self.seed)
        for rows, copies, attribution in noisy_attributions(problem, self.method, self.n_samples, noise):
            moments.add(problem.samples, rows, copies, attribution)
        return moments.result()


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


def gaussian(inputs: Inputs, stdev: float, seed: int) -> Noise:
    """Gaussian noise with ``stdev`` in units of each sample's range; zero for integers.

    Returns:
        The noise, as a function of the copy number alone.
    """

    def draw(copy: int) -> Point:
        generator = stream(f"noise tunnel {copy}", seed)
        return tuple(
            _normal(leaf, generator) * stdev * _range(leaf) if is_continuous(leaf) else torch.zeros_like(leaf)
            for leaf in leaves(inputs)
        )

    return draw


def noisy_attributions(
    problem: Problem, method: Method, copies: int, noise: Noise
) -> Iterator[tuple[Tensor, Tensor, Point]]:
    """Explain noisy copies of the samples, one chunk of rows at a time.

    Integer inputs get no noise.

    Yields:
        The samples (m,), the copy numbers (m,) and the attributions of a chunk.
    """
    n, device = problem.samples, leaves(problem.inputs)[0].device
    for chunk in problem.budget.slices(copies * n):
        index = torch.arange(chunk.start, chunk.stop, device=device)
        rows, numbers = index % n, index // n
        part = problem.select(rows)
        yield rows, numbers, method(part.with_inputs(noisy(problem.inputs, noise, rows, numbers)))


def noisy(inputs: Inputs, noise: Noise, rows: Tensor, copies: Tensor) -> Inputs:
    """Samples with noise added; integers get none.

    Args:
        inputs: The samples.
        noise: The noise.
        rows: Which samples (m,).
        copies: With the noise of which copies (m,), ascending.

    Returns:
        Inputs of m samples.
    """
    first, last = int(copies[0]), int(copies[-1])
    drawn = [torch.stack(tensors) for tensors in zip(*(noise(k) for k in range(first, last + 1)), strict=True)]
    taken = (leaf.index_select(0, rows) for leaf in leaves(inputs))
    return rebuild(
        inputs,
        tuple(
            leaf + drawn[i][copies - first, rows].to(leaf.dtype) if is_continuous(leaf) else leaf
            for i, leaf in enumerate(taken)
        ),
    )


def _normal(leaf: Tensor, generator: torch.Generator) -> Tensor:
    # Drawn on the CPU in float32: the same noise on every device and in every precision.
    return torch.randn(1, *leaf.shape[1:], generator=generator, dtype=torch.float32).to(leaf)


def _range(leaf: Tensor) -> Tensor:
    flat = leaf.reshape(leaf.shape[0], -1)
    return column(flat.amax(dim=1) - flat.amin(dim=1), leaf)


class _Moments:
    """Running sums of every sample's attributions and of their squares."""

    def __init__(self, statistic: Statistic, copies: int) -> None:
        self.statistic, self.copies = statistic, copies
        self.totals: list[Tensor] = []
        self.squares: list[Tensor] = []
        self.origin: list[Tensor] = []

    def add(self, samples: int, rows: Tensor, copies: Tensor, attribution: Point) -> None:
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
        if self.statistic == "mean":
            return tuple(total / self.copies for total in self.totals)
        if self.statistic == "square":
            return tuple(square / self.copies for square in self.squares)
        return tuple(
            (square / self.copies - (total / self.copies) ** 2).clamp(min=0)
            for square, total in zip(self.squares, self.totals, strict=True)
        )
