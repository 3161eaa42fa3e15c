"""Targets: which output of the model is explained, for every sample."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from lightning_explain.registry import unknown
from lightning_explain.targets import TARGETS, Target, as_indices

Readout: TypeAlias = Literal["raw", "probability", "top", "first"]


def resolve_target(target: Target, outputs: Tensor, label: Tensor | None = None) -> Tensor | None:
    """Turn a target into explicit output indices.

    Args:
        target: ``"label"`` (the sample's class label), ``"predicted"`` (the arg max of its outputs),
            ``"output"`` (the model gives one number per sample: regression), an index for all
            samples, or indices of shape (n,) or, for outputs (n, a, b, ...), (n, number of dims - 1).
        outputs: The model's outputs for the samples, (n, ...).
        label: The class labels (n,), for ``"label"``.

    Returns:
        Indices (n, k) into the dimensions 1..k of the output; None for ``"output"``.

    Raises:
        ValueError: If the indices do not fit the outputs; the message names the first bad sample.
    """
    rows, dims = outputs.shape[0], tuple(outputs.shape[1:])
    if isinstance(target, str):
        if target == "output":
            _require_one_number(outputs)
            return None
        target = _named(target, outputs, label)
    if type(target) is int and len(dims) == 1 and 0 <= target < dims[0]:  # without asking a GPU
        return torch.full((rows, 1), target, device=outputs.device)
    index = as_indices(target).to(outputs.device)
    index = index.expand(rows) if index.ndim == 0 else index
    index = index.reshape(-1, 1) if index.ndim == 1 else index
    if index.shape != (rows, len(dims)):
        raise ValueError(
            f"The model's output has shape {tuple(outputs.shape)}: a target needs {len(dims)} index(es) for each"
            f" of {rows} samples, got shape {tuple(torch.as_tensor(target).shape)}."
            + (" Use target='output' for one number per sample." if not dims else "")
        )
    _check_range(index, dims)
    return index.long()


def select(outputs: Tensor, target: Tensor | None, readout: Readout = "raw") -> Tensor:
    """Read the explained number of every row.

    Args:
        outputs: The model's outputs (n, ...).
        target: Indices (n, k), or None for one number per row.
        readout: ``"raw"``; ``"probability"``: after a softmax over dimension 1; ``"top"``: 1 where the target is the
            arg max over dimension 1, else 0; ``"first"``: whatever number is first, where the target is not known yet.

    Returns:
        One number per row, (n,), at least in float32.
    """
    if target is not None and readout != "first":
        return select_each(outputs, target[None], readout)[0]
    outputs = _wide(outputs)
    if readout == "first":
        return outputs.flatten(1)[:, 0] if outputs.ndim > 1 else outputs
    return outputs.reshape(outputs.shape[0])


def select_each(outputs: Tensor, targets: Tensor, readout: Readout = "raw") -> Tensor:
    """Read several numbers of every row.

    Args:
        outputs: The model's outputs (n, ...).
        targets: Indices (T, n, k).
        readout: ``"raw"``, ``"probability"`` or ``"top"``, as for :func:`select`.

    Returns:
        Numbers (T, n), at least in float32.
    """
    outputs = _wide(outputs)
    if readout == "probability":
        outputs = outputs.softmax(dim=1)
    if readout == "top":
        highest = outputs.argmax(dim=1, keepdim=True)
        finite = torch.isfinite(outputs).all(dim=1, keepdim=True)  # of NaN there is no highest
        outputs = torch.zeros_like(outputs).scatter_(1, highest, 1.0).where(finite, torch.nan)
    rows = torch.arange(outputs.shape[0], device=outputs.device).expand(targets.shape[:2])
    return outputs[(rows, *targets.unbind(dim=2))]


def _wide(outputs: Tensor) -> Tensor:
    return outputs.float() if outputs.dtype in {torch.float16, torch.bfloat16} else outputs


def probability_readout(outputs: Tensor, target: Tensor | None) -> Readout:
    """How to read a probability from outputs like these.

    Returns:
        ``"probability"`` for logits of two classes and more; ``"raw"`` where a softmax would be
        wrong: a single output, or rows that are distributions already.
    """
    if target is None or outputs.shape[1] < 2:
        return "raw"
    rows = outputs.detach().float()
    total = rows.sum(dim=1)
    normalised = torch.allclose(total, torch.ones_like(total), atol=1e-3)
    return "raw" if normalised and bool((rows >= 0).all()) else "probability"


def _require_one_number(outputs: Tensor) -> None:
    if outputs[0].numel() != 1:
        raise ValueError(
            f"The target 'output' needs one number per sample, the model gives shape {tuple(outputs.shape)};"
            " name the output by its index."
        )


def _named(target: str, outputs: Tensor, label: Tensor | None) -> Tensor:
    if target not in TARGETS:
        raise ValueError(unknown("target", target, TARGETS) + " Or give output indices.")
    if outputs.ndim != 2:
        raise ValueError(
            f"The target {target!r} needs outputs of shape (samples, classes), got {tuple(outputs.shape)};"
            " give explicit indices" + (", or 'output'." if outputs[0].numel() == 1 else ".")
        )
    if target == "predicted":
        return outputs.argmax(dim=1)
    if label is None:
        raise ValueError("The target 'label' needs labels; pass label=, or use target='predicted'.")
    return label.to(outputs.device)


def _check_range(index: Tensor, dims: tuple[int, ...]) -> None:
    bound = torch.tensor(dims, device=index.device)
    bad = ((index < 0) | (index >= bound)).any(dim=1).nonzero().flatten()
    if bad.numel():
        sample = int(bad[0])
        raise ValueError(
            f"Target {index[sample].tolist()} of sample {sample} is out of range for outputs of shape (n, "
            f"{', '.join(map(str, dims))}); each index must be in 0..size-1 ({bad.numel()} sample(s) are not)."
        )
