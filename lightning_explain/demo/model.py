"""The demo's network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from typing_extensions import override

from lightning_explain.demo.data import CLASSES, SIDE

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRScheduler

Batch = tuple[Tensor, Tensor]


class DigitClassifier(LightningModule):
    """Three convolutions and a linear layer: 55 000 parameters for digits of 28 x 28 pixels.

    Args:
        learning_rate: The highest one of the cycle.
    """

    def __init__(self, learning_rate: float = 1e-2) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.learning_rate = learning_rate
        self.features = nn.Sequential(
            *_convolution(1, 16),
            nn.MaxPool2d(2),
            *_convolution(16, 32),
            nn.MaxPool2d(2),
            *_convolution(32, 64),
        )
        self.head = nn.Linear(64 * (SIDE // 4) ** 2, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images.

        Returns:
            Logits (n, 10).
        """
        return self.head(self.features(images).flatten(1))  # type: ignore[no-any-return]

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, label = batch
        loss = F.cross_entropy(self(images), label)
        self.log("train_loss", loss)
        return loss

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, label = batch
        logits = self(images)
        self.log("val_loss", F.cross_entropy(logits, label))
        self.log("val_acc", (logits.argmax(dim=1) == label).float().mean())

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = AdamW(self.parameters(), lr=self.learning_rate)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = OneCycleLR(optimizer, max_lr=self.learning_rate, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def accuracy(model: nn.Module, images: Tensor, label: Tensor) -> float:
    """The share of images whose largest logit is that of their label.

    Returns:
        A number from 0 to 1. The model is in evaluation mode afterwards.
    """
    model.eval()
    with torch.inference_mode():
        return float((model(images).argmax(dim=1) == label).float().mean())


def _convolution(channels: int, filters: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()
