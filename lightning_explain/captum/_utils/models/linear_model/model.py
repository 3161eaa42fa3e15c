"""Linear models and the ways to fit them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn

from lightning_explain.captum._utils.models.linear_model.train import (
    l2_loss,
    sgd_train_linear_model,
    sklearn_train_linear_model,
)
from lightning_explain.captum._utils.models.model import Model
from lightning_explain.captum.errors import ArgumentError
from lightning_explain.randomness import isolated


class LinearModel(nn.Module, Model):
    """A linear model that is made when it is fitted.

    Args:
        train_fn: Fits it: called with the model, ``dataloader``, ``construct_kwargs`` and what :meth:`fit` is given.
        kwargs: How it is made; or, for models of scikit-learn, what those are made with.
    """

    SUPPORTED_NORMS: tuple[str | None, ...] = (None, "batch_norm", "layer_norm")

    def __init__(self, train_fn: Callable[..., dict[str, float]], **kwargs: Any) -> None:
        super().__init__()
        self.train_fn = train_fn
        self.construct_kwargs: dict[str, Any] = kwargs
        self.norm: nn.Module | None = None
        self.linear: nn.Linear | None = None
        self._classes: Tensor | None = None

    def fit(self, train_data: Iterable[Any], **kwargs: Any) -> dict[str, float]:
        """Fit the model.

        Args:
            train_data: Batches (x, y) or (x, y, weights): x (n, F), y (n,) or (n, O), weights (n,).
            kwargs: How it is fitted.

        Returns:
            What there is to say of it, such as the time it took.
        """
        return self.train_fn(self, dataloader=train_data, construct_kwargs=self.construct_kwargs, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Predict.

        Args:
            x: (n, F).

        Returns:
            (n, O).
        """
        predicted: Tensor = self._fitted()(x if self.norm is None else self.norm(x))
        return predicted

    def representation(self) -> Tensor:
        """The coefficients, without the intercept.

        Returns:
            (O, F).
        """
        return self._fitted().weight.detach()

    def bias(self) -> Tensor | None:
        """The intercept.

        Returns:
            (O,); None without one, or before the fit.
        """
        return None if self.linear is None or self.linear.bias is None else self.linear.bias.detach()

    def classes(self) -> Tensor | None:
        """The classes of a classifier.

        Returns:
            int32, in the order of the outputs; None for regressions.
        """
        return self._classes

    def _fitted(self) -> nn.Linear:
        if self.linear is None:
            raise ArgumentError(f"{type(self).__name__} has no coefficients before it is fitted: model.fit(batches).")
        return self.linear

    def _construct_model_params(
        self,
        in_features: int | None = None,
        out_features: int | None = None,
        norm_type: str | None = None,
        affine_norm: bool = False,
        bias: bool = True,
        weight_values: Tensor | None = None,
        bias_value: Tensor | None = None,
        classes: Tensor | None = None,
    ) -> None:
        if norm_type not in self.SUPPORTED_NORMS:
            raise ArgumentError(f"Expected norm_type to be one of {self.SUPPORTED_NORMS}, got {norm_type!r}.")
        if weight_values is not None:
            out_features, in_features = weight_values.reshape(-1, weight_values.shape[-1]).shape
        if in_features is None or out_features is None:
            raise ArgumentError("A linear model needs in_features and out_features, or weight_values.")
        if bias_value is not None and not bias:
            raise ArgumentError("There is a bias_value, but bias=False.")
        with isolated(0):
            self.linear = nn.Linear(in_features, out_features, bias=bias)
        self.norm = _norm(norm_type, in_features, affine_norm)
        self._classes = classes
        for parameter, value in ((self.linear.weight, weight_values), (self.linear.bias, bias_value)):
            if value is not None:
                parameter.data = value.reshape(parameter.shape)


class SGDLinearModel(LinearModel):
    """A linear model that is fitted by stochastic gradient descent.

    Args:
        kwargs: How it is made: ``bias``, ``norm_type`` (``"batch_norm"``, ``"layer_norm"``), ``affine_norm``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(train_fn=sgd_train_linear_model, **kwargs)


class SGDLasso(SGDLinearModel):
    """Squares and the sum of the coefficients' absolute values. Coefficients come near zero, but seldom are."""

    def fit(self, train_data: Iterable[Any], **kwargs: Any) -> dict[str, float]:
        """Fit the model.

        Args:
            train_data: As for any linear model.
            kwargs: The arguments of the descent, such as ``alpha``.

        Returns:
            Time, loss, iterations and epochs.
        """
        return super().fit(train_data, loss_fn=l2_loss, reg_term=1, **kwargs)


class SGDRidge(SGDLinearModel):
    """Squares and the coefficients' Euclidean norm, which is not squared."""

    def fit(self, train_data: Iterable[Any], **kwargs: Any) -> dict[str, float]:
        """Fit the model.

        Args:
            train_data: As for any linear model.
            kwargs: The arguments of the descent, such as ``alpha``.

        Returns:
            Time, loss, iterations and epochs.
        """
        return super().fit(train_data, loss_fn=l2_loss, reg_term=2, **kwargs)


class SGDLinearRegression(SGDLinearModel):
    """Squares alone."""

    def fit(self, train_data: Iterable[Any], **kwargs: Any) -> dict[str, float]:
        """Fit the model.

        Args:
            train_data: As for any linear model.
            kwargs: The arguments of the descent.

        Returns:
            Time, loss, iterations and epochs.
        """
        return super().fit(train_data, loss_fn=l2_loss, reg_term=None, **kwargs)


class SkLearnLinearModel(LinearModel):
    """A linear model as one of scikit-learn fits it.

    Args:
        sklearn_module: Its name in scikit-learn, such as ``"svm.LinearSVC"``.
        kwargs: What it is made with.
    """

    def __init__(self, sklearn_module: str, **kwargs: Any) -> None:
        super().__init__(train_fn=sklearn_train_linear_model, **kwargs)
        self.sklearn_module = sklearn_module

    def fit(self, train_data: Iterable[Any], **kwargs: Any) -> dict[str, float]:
        """Fit the model.

        Args:
            train_data: As for any linear model; all of it is held in memory.
            kwargs: ``norm_input``; others go to scikit-learn's ``fit``.

        Returns:
            The time it took.
        """
        return super().fit(train_data, sklearn_trainer=self.sklearn_module, **kwargs)


class SkLearnLasso(SkLearnLinearModel):
    """Squares and the sum of the coefficients' absolute values, at the very minimum.

    Args:
        kwargs: ``alpha``, and others that ``sklearn.linear_model.Lasso`` takes.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(sklearn_module="linear_model.Lasso", **kwargs)


class SkLearnRidge(SkLearnLinearModel):
    """Squares and the sum of the coefficients' squares.

    Args:
        kwargs: ``alpha``, and others that ``sklearn.linear_model.Ridge`` takes.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(sklearn_module="linear_model.Ridge", **kwargs)


class SkLearnLinearRegression(SkLearnLinearModel):
    """Squares alone; of several minima that with the smallest coefficients.

    Args:
        kwargs: What ``sklearn.linear_model.LinearRegression`` takes.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(sklearn_module="linear_model.LinearRegression", **kwargs)


class SkLearnLogisticRegression(SkLearnLinearModel):
    """Logistic regression, by scikit-learn.

    Args:
        kwargs: What ``sklearn.linear_model.LogisticRegression`` takes.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(sklearn_module="linear_model.LogisticRegression", **kwargs)


class SkLearnSGDClassifier(SkLearnLinearModel):
    """A linear classifier that is fitted by gradient descent, by scikit-learn.

    Args:
        kwargs: What ``sklearn.linear_model.SGDClassifier`` takes.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(sklearn_module="linear_model.SGDClassifier", **kwargs)


def _norm(kind: str | None, features: int, affine: bool) -> nn.Module | None:
    if kind is None:
        return None
    if kind == "batch_norm":
        return nn.BatchNorm1d(features, eps=1e-8, affine=affine)
    return nn.LayerNorm(features, eps=1e-8, elementwise_affine=affine)
