"""Linear models at their very minimum: by our own solvers where they know the question, else by scikit-learn."""

from __future__ import annotations

import importlib
import operator
import time
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from lightning_explain.attribution.linear import lasso, ridge
from lightning_explain.captum.errors import ArgumentError

if TYPE_CHECKING:
    from lightning_explain.captum._utils.models.linear_model.model import LinearModel

_ALPHA = {"linear_model.Lasso": 1.0, "linear_model.Ridge": 1.0, "linear_model.LinearRegression": 0.0}
"""What we solve ourselves, and the usual strength of its penalty."""
_USUAL = {"fit_intercept": True, "positive": False}
# These say how scikit-learn looks for the minimum, not what it is.
_SEARCH = {
    "copy_X", "max_iter", "n_jobs", "precompute", "random_state", "selection", "solver", "tol", "warm_start",
}  # fmt: skip


class _Fit(NamedTuple):
    weight: Tensor
    bias: Tensor
    classes: Tensor | None = None


class NormLayer(nn.Module):
    """Standardises features by numbers that are known.

    Args:
        mean: (F,).
        std: (F,).
        n: Not used.
        eps: Added to the standard deviation.
    """

    def __init__(self, mean: Tensor, std: Tensor, n: int | None = None, eps: float = 1e-8) -> None:
        super().__init__()
        self.mean, self.std, self.eps = mean, std, eps

    def forward(self, x: Tensor) -> Tensor:
        """Standardise.

        Args:
            x: (n, F).

        Returns:
            The same shape.
        """
        return (x - self.mean) / (self.std + self.eps)


def sklearn_train_linear_model(
    model: LinearModel,
    dataloader: Iterable[Any],
    construct_kwargs: dict[str, Any],
    sklearn_trainer: str = "linear_model.Lasso",
    norm_input: bool = False,
    **fit_kwargs: Any,
) -> dict[str, float]:
    """Fit a linear model as scikit-learn defines it.

    The lasso, ridge regression and least squares are solved here, in float64, and need no scikit-learn: the minimum is
    what it comes near to. Everything else is asked of scikit-learn.

    Args:
        model: The model; it is made anew, float32.
        dataloader: Batches (x, y) or (x, y, weights).
        construct_kwargs: What scikit-learn's model is made with.
        sklearn_trainer: Its name in scikit-learn.
        norm_input: Whether features are standardised first.
        fit_kwargs: Arguments of scikit-learn's ``fit``.

    Returns:
        ``train_time``, in seconds.

    Raises:
        ArgumentError: If there is no data, its weights are all zero or one is negative, or so is ``alpha``.
        ImportError: If scikit-learn is needed and not installed.
    """
    x, y, weights = _gathered(dataloader)
    norm = NormLayer(x.mean(dim=0), x.std(dim=0, correction=0)) if norm_input else None
    began = time.perf_counter()
    design = x if norm is None else norm(x)
    if _ours(sklearn_trainer, construct_kwargs) and not fit_kwargs:
        alpha = construct_kwargs.get("alpha", _ALPHA[sklearn_trainer])
        fit = _minimum(design, y, weights, alpha, absolute=sklearn_trainer == "linear_model.Lasso")
    else:
        fit = _scikit(sklearn_trainer, construct_kwargs, (design, y, weights), fit_kwargs)
    took = time.perf_counter() - began
    device = getattr(model, "device", "cpu")
    weight, bias = fit.weight.float().to(device), fit.bias.float().to(device)
    model._construct_model_params(weight_values=weight, bias_value=bias, classes=fit.classes)  # noqa: SLF001
    model.norm = norm
    return {"train_time": took}


def _gathered(dataloader: Iterable[Any]) -> tuple[Tensor, Tensor, Tensor | None]:
    columns = [torch.cat(parts).detach().cpu() for parts in zip(*dataloader, strict=True)]
    if len(columns) not in {2, 3}:
        raise ArgumentError(f"Expected batches (x, y) or (x, y, weights), got {len(columns)} tensors in each.")
    return columns[0], columns[1], columns[2].reshape(-1) if len(columns) == 3 else None


def _ours(trainer: str, construct_kwargs: dict[str, Any]) -> bool:
    known = _SEARCH | {"alpha"} if _ALPHA.get(trainer) else _SEARCH
    asked = {key: value for key, value in construct_kwargs.items() if key not in known}
    return trainer in _ALPHA and all(key in _USUAL and value == _USUAL[key] for key, value in asked.items())


def _minimum(x: Tensor, y: Tensor, weights: Tensor | None, alpha: float, absolute: bool) -> _Fit:
    x, y = x.double(), y.double().reshape(len(x), -1).T
    weights = torch.ones(len(x), dtype=x.dtype) if weights is None else weights.double()
    total = float(weights.sum())
    if not total > 0 or bool((weights < 0).any()):
        raise ArgumentError("Expected weights of which at least one is above zero, and none below.")
    if not alpha >= 0:
        raise ArgumentError(f"Expected alpha, the strength of the penalty, from 0 up, got {alpha}.")
    share = (weights / total).expand_as(y)
    if absolute:
        beta = lasso(x, y, share, torch.full((len(y),), alpha, dtype=x.dtype))
    else:
        # The penalty of ridge regression is weighed against the sum of the squares, not against their mean.
        beta = ridge(x, y, share, alpha / total)
    return _Fit(beta, (share * y).sum(dim=1) - beta @ (weights @ x / total))


def _scikit(
    trainer: str,
    construct_kwargs: dict[str, Any],
    data: tuple[Tensor, Tensor, Tensor | None],
    fit_kwargs: dict[str, Any],
) -> _Fit:
    try:
        sklearn = importlib.import_module("sklearn")
        for module in ("linear_model", "svm"):
            importlib.import_module(f"sklearn.{module}")
    except ImportError:
        raise ImportError(
            f"{trainer} with {sorted({*construct_kwargs, *fit_kwargs})} needs scikit-learn: pip install scikit-learn."
        ) from None
    x, y = data[0].numpy(), data[1].numpy()
    fitted = operator.attrgetter(trainer)(sklearn)(**construct_kwargs)
    try:
        fitted.fit(x, y, sample_weight=None if data[2] is None else data[2].numpy(), **fit_kwargs)
    except TypeError:
        warnings.warn(f"{trainer} takes no sample weights: it was fitted without.", stacklevel=4)
        fitted.fit(x, y, **fit_kwargs)
    weight = torch.as_tensor(fitted.coef_).reshape(-1, x.shape[1])
    bias = torch.as_tensor(fitted.intercept_, dtype=weight.dtype).reshape(-1).expand(len(weight))
    classes = torch.as_tensor(fitted.classes_).int() if hasattr(fitted, "classes_") else None
    return _Fit(weight, bias, classes)
