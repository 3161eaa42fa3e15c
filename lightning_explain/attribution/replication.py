"""Making a replica of a model, and trusting it: it must give what the model gives."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution.model import FAILURES, UNFIT, output
from lightning_explain.attribution.pairs import record
from lightning_explain.attribution.place import Input, differentiable
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.replica import Replica
from lightning_explain.attribution.scoring import replaced
from lightning_explain.inputs import is_continuous, leaves, pick, take
from lightning_explain.precision import accurate
from lightning_explain.randomness import taken_down

Replicating: TypeAlias = bool | torch.dtype
"""Whether a replica is explained: none, one in the model's own type, or one in another type."""

FEW = 2
"""Samples of the recorded pass, and of the gradients that are compared. One alone may be squeezed."""

UNITS = 1024
"""How many units in the last place, of the spread of the outputs, a replica may be off."""

NOISE = 16
"""How many units in the last place, of the largest output, are no difference at all."""

COARSEST = 0.05
"""The share of the spread that is too much, however few bits a type has."""

STEPS = 0.05
"""How far gradients may be apart, by norm: at a kink they step."""

COARSE_STEPS = 0.3
"""How far gradients may be apart where the replica's type has fewer bits, and more units change sides at a kink."""


def require_replicating(replica: object, *, create_graph: bool = False) -> None:
    """Check what users ask for.

    Args:
        replica: What they gave.
        create_graph: Whether attributions are to be trained on.

    Raises:
        TypeError: If it is neither a truth value nor a floating point type.
        ValueError: If attributions are to be trained on, too.
    """
    if not isinstance(replica, bool) and not (isinstance(replica, torch.dtype) and replica.is_floating_point):
        raise TypeError(f"replica is True, False or a type such as torch.bfloat16, got {replica!r}.")
    if create_graph and replica is not False:
        raise ValueError(
            "A replica has copies of the parameters, on which nothing can be trained: leave out replica= or"
            " create_graph=True."
        )


def replicated(problem: Problem, replica: Replicating) -> tuple[Problem, str | None]:
    """The same problem, asked of a replica of the model, if that gives what the model gives.

    It is tried on all samples forward, and on two of them backward. What is explained should be settled before.

    Args:
        problem: The problem; its model is borrowed.
        replica: Which replica.

    Returns:
        The problem, and why it is still asked of the model: None if it is not, or if no row would be cheaper.
    """
    if replica is False:
        return problem, None
    problem.outputs  # noqa: B018  (those of the model, before anything is tried)
    device = leaves(problem.inputs)[0].device
    put_back = taken_down({device})
    try:
        return _tried(problem, torch.arange(FEW, device=device) % problem.samples, None if replica is True else replica)
    finally:
        put_back()  # a model that draws random numbers goes on as if nothing had been tried


def replicated_or_warn(problem: Problem, replica: Replicating) -> Problem:
    """The same problem, asked of a replica; with a warning that says why, of the model itself.

    Args:
        problem: As for :func:`replicated`.
        replica: As for :func:`replicated`.

    Returns:
        The problem.
    """
    asked, reason = replicated(problem, replica)
    if reason is not None:
        warnings.warn(dropped(reason), stacklevel=3)
    return asked


def dropped(reason: str) -> str:
    """What is said where the model itself is explained.

    Args:
        reason: Why.

    Returns:
        A sentence.
    """
    return f"The model itself is explained, and no replica of it: {reason}."


def _tried(problem: Problem, rows: Tensor, dtype: torch.dtype | None) -> tuple[Problem, str | None]:
    reason = None
    try:
        recorded = record(problem.model, take(problem.inputs, rows), problem.forward)
    except FAILURES as error:
        return problem, f"the model cannot be watched ({_said(error)})"
    for channels_last in (True, False):  # which a model that views its tensors as rows may not bear
        made = Replica(problem.forward, problem.model, recorded, channels_last, dtype)
        if not made.lends:
            break
        asked = replace(problem, forward=made, tails={})
        reason = _difference(problem, asked, rows, dtype)
        if reason is None:
            return asked, None
    return problem, reason


def _difference(problem: Problem, asked: Problem, rows: Tensor, dtype: torch.dtype | None) -> str | None:
    known, slope = problem.outputs, _slope_if_any(problem, rows)
    try:
        made, made_slope = asked.outputs, None if slope is None else _slope(asked, rows)
    except FAILURES as error:
        return f"the replica fails ({_said(error)})"
    if made.shape != known.shape:
        return f"the replica's outputs have shape {tuple(made.shape)}, and not {tuple(known.shape)}"
    eps = max(_eps(known.dtype), _eps(dtype or known.dtype), _eps_of_convolutions(known))
    return _apart(made, known, eps) or _aslant(made_slope, slope, eps)


def _apart(made: Tensor, known: Tensor, eps: float) -> str | None:
    a, b = accurate(made), accurate(known)
    same = (a == b) | (a.isnan() & b.isnan())
    off = float(torch.where(same, 0.0, (a - b).abs()).max())
    finite = b[b.isfinite()]
    largest, spread = (float(of.abs().max()) if of.numel() else 0.0 for of in (finite, finite - finite.mean()))
    most = min(UNITS * eps, COARSEST) * (spread or largest) + NOISE * _eps(known.dtype) * largest
    return None if off <= most else f"its outputs are off by {off:.2g}, and spread by {spread or largest:.2g}"


def _aslant(made: Tensor | None, known: Tensor | None, eps: float) -> str | None:
    if made is None or known is None:
        return None if made is known else "it has no gradient"
    off, size = float((made - known).norm()), float(known.norm())
    most = COARSE_STEPS if eps > _eps(torch.float32) else STEPS
    return None if off <= most * size else f"its gradient is off by {off:.2g}, and has a norm of {size:.2g}"


def _slope_if_any(problem: Problem, rows: Tensor) -> Tensor | None:
    try:
        return _slope(problem, rows)
    except UNFIT:  # the model has no backward pass, which plays no part where none is asked for
        return None


def _slope(problem: Problem, rows: Tensor) -> Tensor | None:
    # Of a sum of all outputs, each with another weight, for those of a softmax add up to one.
    point = pick(Input().variable(problem, problem.inputs), rows)
    if not all(map(is_continuous, point)):
        return None
    with torch.enable_grad():
        z = tuple(differentiable(leaf.detach()) for leaf in point)
        given = output(problem.model, replaced(problem, z, rows), problem.forward)
        if not given.requires_grad:
            return None
        weights = torch.linspace(1, 2, given.numel(), dtype=given.dtype, device=given.device).view_as(given)
        slopes = torch.autograd.grad((given * weights).sum(), z, allow_unused=True)
    parts = [accurate(slope).flatten() for slope in slopes if slope is not None]
    return torch.cat(parts) if parts else None


def _eps_of_convolutions(known: Tensor) -> float:
    # On a GPU they may round float32 to TensorFloat-32, ten bits; another order of memory is then rounded otherwise.
    short = known.is_cuda and known.dtype == torch.float32 and torch.backends.cudnn.allow_tf32
    return 2.0**-10 if short else 0.0


def _eps(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps if dtype.is_floating_point else 0.0


def _said(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"
