"""Linear models fitted by stochastic gradient descent."""

from __future__ import annotations

import operator
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lightning_explain.captum.errors import ArgumentError
from lightning_explain.randomness import isolated

if TYPE_CHECKING:
    from lightning_explain.captum._utils.models.linear_model.model import LinearModel

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
Batch = tuple[Tensor, Tensor, Tensor | None]


def l2_loss(x1: Tensor, x2: Tensor, weights: Tensor | None = None) -> Tensor:
    """Half the mean squared difference.

    Args:
        x1: Any shape.
        x2: The same shape.
        weights: Broadcast to it; what matters is how they compare.

    Returns:
        A number.
    """
    squares = (x1 - x2).pow(2) / 2
    return squares.mean() if weights is None else (weights / weights.abs().sum() * squares).sum()


def sgd_train_linear_model(  # noqa: PLR0913  (Captum's signature)
    model: LinearModel,
    dataloader: Iterable[Any],
    construct_kwargs: dict[str, Any],
    max_epoch: int = 100,
    reduce_lr: bool = True,
    initial_lr: float = 0.01,
    alpha: float = 1.0,
    loss_fn: Loss = l2_loss,
    reg_term: int | None = 1,
    patience: int = 10,
    threshold: float = 1e-4,
    running_loss_window: int | None = None,
    device: str | None = None,
    init_scheme: str | None = "zeros",
    debug: bool = False,
) -> dict[str, float]:
    """Fit a linear model by gradient descent, until the running mean of the loss no longer falls.

    Args:
        model: The model; it is made anew, and moved to ``device``.
        dataloader: Batches (x, y) or (x, y, weights), of the same length every epoch.
        construct_kwargs: How the model is made.
        max_epoch: Epochs at most.
        reduce_lr: Whether the learning rate is halved where the loss no longer falls.
        initial_lr: The learning rate at the start.
        alpha: The strength of the penalty.
        loss_fn: Of the targets, the predictions and the weights.
        reg_term: The penalty is the norm of the coefficients of this order; None: there is none.
        patience: Iterations that the loss may stand still.
        threshold: What counts as standing still.
        running_loss_window: Iterations that the mean is taken over; as many as there are samples where it is None.
        device: Where the model is fitted; None: on the CPU.
        init_scheme: ``"zeros"`` or ``"xavier"``; None: as ``nn.Linear`` begins.
        debug: Whether every iteration is printed.

    Returns:
        ``train_time`` in seconds, ``train_loss``, ``train_iter`` and ``train_epoch``.

    Raises:
        ArgumentError: If there is no data, or no such start.
    """
    began = time.perf_counter()
    with torch.inference_mode(False), torch.enable_grad():
        batches = _batches(dataloader, max_epoch, device)
        epoch, batch = next(batches, (0, None))
        if batch is None:
            raise ArgumentError("Expected batches (x, y) or (x, y, weights) to fit a linear model to, got none.")
        _begin(model, batch, construct_kwargs, init_scheme, device)
        window = running_loss_window or len(batch[0]) * operator.length_hint(dataloader, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=initial_lr)
        schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=patience, threshold=threshold)
        progress = _Progress(window, patience, threshold)
        while batch is not None:
            loss = _penalised(model, batch, loss_fn, reg_term, alpha)
            if progress.stands_still(loss.detach()):
                break
            if debug:
                print(f"lr={optimizer.param_groups[0]['lr']}, loss={float(loss.detach())}, mean={progress.mean}")  # noqa: T201
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if reduce_lr:
                schedule.step(progress.mean)
            epoch, batch = next(batches, (max_epoch, None))
    took = time.perf_counter() - began
    return {
        "train_time": took,
        "train_loss": progress.mean,
        "train_iter": progress.iterations,
        "train_epoch": epoch,
    }


class _Progress:
    # The running mean of the loss, over the window and the newest, and for how long it has not been falling.

    def __init__(self, window: int, patience: int, threshold: float) -> None:
        self.losses: deque[Tensor] = deque(maxlen=window + 1)
        self.patience, self.threshold = patience, threshold
        self.iterations = self.waited = 0
        self.least: float | None = None
        self.mean = float("nan")

    def stands_still(self, loss: Tensor) -> bool:
        self.losses.append(loss)
        self.iterations += 1
        self.mean = float(torch.stack(list(self.losses)).mean())
        least = self.least
        if least is not None:
            close = abs(least - self.mean) <= self.threshold + 1e-5 * abs(self.mean)
            self.waited = self.waited + 1 if self.mean > least or close else 0
        self.least = self.mean if least is None else min(least, self.mean)
        return self.waited >= self.patience


def _batches(dataloader: Iterable[Any], epochs: int, device: str | None) -> Iterator[tuple[int, Batch]]:
    for epoch in range(epochs):
        for given in dataloader:
            x, y, *weights = (part.to(device) if device else part for part in given)
            # Tensors of inference mode cannot be differentiated by.
            x, y = x.clone() if x.is_inference() else x, y.reshape(len(x), -1)
            yield epoch, (x, y, weights[0].reshape(len(x), -1) if weights else None)


def _begin(
    model: LinearModel, batch: Batch, construct_kwargs: dict[str, Any], init_scheme: str | None, device: str | None
) -> None:
    if init_scheme not in {None, "zeros", "xavier"}:
        raise ArgumentError(f"Expected init_scheme to be 'zeros', 'xavier' or None, got {init_scheme!r}.")
    model._construct_model_params(batch[0].shape[1], batch[1].shape[1], **construct_kwargs)  # noqa: SLF001
    model.train()
    if model.linear is None or init_scheme is None:
        return
    with isolated(0):
        if init_scheme == "zeros":
            nn.init.zeros_(model.linear.weight)
        else:
            nn.init.xavier_uniform_(model.linear.weight)
    if model.linear.bias is not None:
        nn.init.zeros_(model.linear.bias)
    if device:
        model.to(device)


def _penalised(model: LinearModel, batch: Batch, loss_fn: Loss, reg_term: int | None, alpha: float) -> Tensor:
    x, y, weights = batch
    loss = loss_fn(y, model(x), weights)
    if reg_term is None or model.linear is None:
        return loss
    penalty: Tensor = torch.linalg.vector_norm(model.linear.weight, ord=reg_term)
    return loss + alpha * penalty
