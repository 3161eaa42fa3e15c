"""Weighted linear regressions of many samples at once: the same design, other weights and other numbers to fit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lightning_explain.randomness import stream

ELEMENTS_AT_ONCE = 2**24
MOST_ITERATIONS = 5000
ITERATIONS_BETWEEN_CHECKS = 10
TOLERANCE = 1e-12
POWER_ITERATIONS = 30
SAFETY = 1.25


def ridge(design: Tensor, y: Tensor, weights: Tensor, alpha: float) -> Tensor:
    r"""Ridge regression, in closed form.

    .. math:: \min_{\beta, b} \tfrac12 \sum_k w_k (y_k - b - x_k^\top \beta)^2 + \tfrac\alpha2 \|\beta\|^2

    Args:
        design: Rows :math:`x_k`, (K, F), float64.
        y: Numbers to fit (n, K), float64.
        weights: Weights (n, K) that sum to 1 for each sample, float64.
        alpha: The strength; 0: least squares, of the solutions that with the smallest norm.

    Returns:
        Coefficients (n, F), without the intercept.
    """
    step = max(1, ELEMENTS_AT_ONCE // max(design.numel(), 1))
    parts = zip(y.split(step), weights.split(step), strict=True)
    return torch.cat([_ridge(design, *part, alpha) for part in parts])


def _ridge(design: Tensor, y: Tensor, weights: Tensor, alpha: float) -> Tensor:
    root = weights.sqrt()
    x = root[:, :, None] * (design - (weights @ design)[:, None])
    y = (root * (y - (weights * y).sum(dim=1, keepdim=True)))[:, :, None]
    rows, features = design.shape
    penalty = alpha * torch.eye(min(rows, features), dtype=x.dtype, device=x.device)
    beta: Tensor
    if alpha == 0:
        beta = torch.linalg.pinv(x) @ y
    elif features <= rows:
        beta = torch.linalg.solve(x.mT @ x + penalty, x.mT @ y)
    else:
        beta = x.mT @ torch.linalg.solve(x @ x.mT + penalty, y)
    return beta[:, :, 0]


def lasso(design: Tensor, y: Tensor, weights: Tensor, alpha: Tensor) -> Tensor:
    r"""The lasso, by accelerated proximal gradient steps, all samples at once.

    .. math:: \min_{\beta, b} \tfrac12 \sum_k w_k (y_k - b - x_k^\top \beta)^2 + \alpha \|\beta\|_1

    Memory is that of the arguments: no matrix is made for each sample. Steps end when the gradient meets the
    conditions of the minimum to 1e-12 of its size at zero.

    A. Beck, M. Teboulle: A Fast Iterative Shrinkage-Thresholding Algorithm. SIAM J. Imaging Sciences 2, 2009;
    restarted as in B. O'Donoghue, E. Candès: Adaptive Restart for Accelerated Gradient Schemes. arXiv:1204.3982, 2012.

    Args:
        design: Rows :math:`x_k`, (K, F), float64.
        y: Numbers to fit (n, K), float64.
        weights: Weights (n, K) that sum to 1 for each sample, float64.
        alpha: Strengths (n,), float64.

    Returns:
        Coefficients (n, F), without the intercept.
    """
    mean, alpha = weights @ design, alpha[:, None]

    def gradient(beta: Tensor, y: Tensor) -> Tensor:
        # Of the squares, with the design and y centred.
        pull = weights * (beta @ design.T - (mean * beta).sum(dim=1, keepdim=True) - y)
        return pull @ design - pull.sum(dim=1, keepdim=True) * mean

    y = y - (weights * y).sum(dim=1, keepdim=True)
    beta = point = torch.zeros_like(mean)
    start = gradient(beta, y)
    size = 1 / _steepness(lambda v: gradient(v, torch.zeros_like(y)), mean)
    pace = torch.ones_like(alpha)
    for iteration in range(MOST_ITERATIONS):
        if iteration % ITERATIONS_BETWEEN_CHECKS == 0 and _is_least(beta, gradient(beta, y), alpha, start):
            break
        stepped = _shrunk(point - size * gradient(point, y), size * alpha)
        moved = stepped - beta
        # Where the step goes against the motion, begin without momentum.
        pace = torch.where(((point - stepped) * moved).sum(dim=1, keepdim=True) > 0, 1.0, pace)
        faster = (1 + (1 + 4 * pace**2).sqrt()) / 2
        point, beta, pace = stepped + (pace - 1) / faster * moved, stepped, faster
    return beta


def _shrunk(beta: Tensor, by: Tensor) -> Tensor:
    return beta.clamp(max=0).add(by).clamp(max=0) + beta.clamp(min=0).sub(by).clamp(min=0)


def _is_least(beta: Tensor, gradient: Tensor, alpha: Tensor, start: Tensor) -> bool:
    pull = gradient.abs() - alpha
    excess = torch.where(beta == 0, pull.clamp(min=0), (gradient + alpha * beta.sign()).abs())
    return bool((excess.amax(dim=1) <= TOLERANCE * start.abs().amax(dim=1)).all())


def _steepness(curvature: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
    # The largest eigenvalue of each sample, from above for all but odd spectra: power iterations come from below.
    v = torch.rand(like.shape, generator=stream("power iterations", 0), dtype=torch.float32).to(like)
    tiny = torch.finfo(v.dtype).tiny
    for _ in range(POWER_ITERATIONS):
        v = v / v.norm(dim=1, keepdim=True).clamp(min=tiny)
        v = curvature(v)
    norm = v.norm(dim=1, keepdim=True)
    return torch.where(norm > 0, SAFETY * norm, 1.0)
