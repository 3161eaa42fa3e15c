"""What takes the place of features that are removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution.feature_space import channel_axis
from lightning_explain.attribution.features import chosen_rows
from lightning_explain.attribution.imputation import impute
from lightning_explain.baseline import BASELINES
from lightning_explain.inputs import Point, column, is_continuous, pick
from lightning_explain.randomness import stream
from lightning_explain.registry import unknown

if TYPE_CHECKING:
    from lightning_explain.attribution.problem import Problem

Fill: TypeAlias = Callable[["Problem", Tensor, Tensor, Point, int], Point]
"""(problem, rows (m,), copies (m,), removed, seed) -> what stands in the removed places, (m, ...) for each tensor.

``removed`` are masks that broadcast against the variable's tensors; random fills begin at ``seed``.
"""

NOISE = 0.01
"""How strong the noise of the fill ``"noisy_linear"`` is, in standard deviations of each sample."""


def fill(name: str) -> Fill:
    """Find a fill by name.

    Args:
        name: ``"baseline"`` (that of the problem), ``"zeros"``, ``"mean"``, ``"blur"`` (of the variable itself),
            ``"uniform"`` or ``"noisy_linear"``.

    Returns:
        The fill.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in FILLS:
        raise ValueError(unknown("fill", name, FILLS))
    return FILLS[name]


def _baseline(problem: Problem, rows: Tensor, copies: Tensor, removed: Point, seed: int = 0) -> Point:
    return tuple(chosen_rows(leaf, rows) for leaf in problem.z0)


def _named(name: str) -> Fill:
    def of_the_variable(problem: Problem, rows: Tensor, copies: Tensor, removed: Point, seed: int = 0) -> Point:
        made = problem.remembered(("fill", name), lambda: tuple(map(BASELINES[name], problem.z)))
        return pick(made, rows)

    return of_the_variable


def _uniform(problem: Problem, rows: Tensor, copies: Tensor, removed: Point, seed: int = 0) -> Point:
    """Random values, uniform between each sample's least and greatest; the same draw for all samples.

    Returns:
        (m, ...) for each tensor; integers stay as they are.
    """

    def between(number: int, leaf: Tensor) -> Tensor:
        flat = leaf.flatten(1) if leaf.ndim > 1 else leaf[:, None]
        low, high = flat.amin(dim=1)[rows], flat.amax(dim=1)[rows]
        return column(low, leaf) + _drawn(torch.rand, f"uniform fill {number}", leaf, copies, seed) * column(
            high - low, leaf
        )

    return _numbers(problem, rows, between)


def _noisy_linear(problem: Problem, rows: Tensor, copies: Tensor, removed: Point, seed: int = 0) -> Point:
    """What the neighbours say (see :func:`~lightning_explain.attribution.imputation.impute`), and a little noise.

    The noise hides from the model which positions were imputed. Where all of a sample is removed, its mean in each
    channel stands there; in a tensor of a single position, which has no neighbours, the baseline.

    Y. Rong et al.: A Consistent and Efficient Evaluation Strategy for Attribution Methods. arXiv:2202.00449, 2022.

    Returns:
        (m, ...) for each tensor; integers stay as they are.
    """

    def imputed(number: int, leaf: Tensor) -> Tensor:
        gone = removed[number]
        if gone[0].numel() == 1:
            return problem.z0[number][rows]
        noise = _drawn(torch.randn, f"noise of imputation {number}", leaf, copies, seed)
        strength = NOISE * leaf.flatten(1).float().std(dim=1, correction=0)[rows].to(leaf)
        return _imputed(leaf[rows], gone, problem.place.channel_dim) + noise * column(strength, leaf)

    return _numbers(problem, rows, imputed)


def _numbers(problem: Problem, rows: Tensor, fill_of: Callable[[int, Tensor], Tensor]) -> Point:
    # Integers have nothing between them, and stay as they are.
    return tuple(fill_of(i, leaf) if is_continuous(leaf) else leaf[rows] for i, leaf in enumerate(problem.z))


def _imputed(values: Tensor, gone: Tensor, channel_dim: int | None) -> Tensor:
    axis = channel_axis(tuple(values.shape[1:]), channel_dim)
    laid, mask = ((x.unsqueeze(1) if axis is None else x.movedim(axis + 1, 1)) for x in (values, gone))
    mean = laid.mean(dim=tuple(range(2, laid.ndim)), keepdim=True)
    found = torch.where(column(mask.flatten(1).all(dim=1), laid), mean, impute(laid, mask).to(values))
    return found.squeeze(1) if axis is None else found.movedim(1, axis + 1)


def _drawn(draw: Callable[..., Tensor], purpose: str, leaf: Tensor, copies: Tensor, seed: int) -> Tensor:
    # On the CPU in float32, so that the numbers are the same on every device and in every precision.
    first, last = int(copies.min()), int(copies.max())
    made = [
        draw(leaf.shape[1:], generator=stream(f"{purpose}, {copy}", seed), dtype=torch.float32)
        for copy in range(first, last + 1)
    ]
    return torch.stack(made).to(leaf)[copies - first]


FILLS: dict[str, Fill] = {
    "baseline": _baseline,
    **{name: _named(name) for name in BASELINES},
    "uniform": _uniform,
    "noisy_linear": _noisy_linear,
}
