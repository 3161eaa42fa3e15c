"""One training run of the demo, watched and gated."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader
from typing_extensions import override

from lightning_explain.callback import AttributionMonitor
from lightning_explain.checkpoint import AttributionCheckpoint
from lightning_explain.demo.data import (
    CLASSES,
    Digits,
    load_digits,
    patch_mask,
    plant_patch,
    random_gray,
    split,
    telling_gray,
)
from lightning_explain.demo.model import DigitClassifier, accuracy
from lightning_explain.demo.quiet import quiet
from lightning_explain.probe import ProbeSet

Name: TypeAlias = Literal["shortcut", "honest"]

METHODS = ("saliency", "integrated_gradients", "grad_cam")
RELEVANCE = "attribution/integrated_gradients/relevance_mass"
MOST_RELEVANCE = 1.5
GATE = f"{RELEVANCE} <= {MOST_RELEVANCE}"

_BATCH = 64
_PROBE = 32
_ROWS = 256


@dataclass(frozen=True)
class Validation:
    """What was known after a validation.

    Args:
        epoch: From 1.
        accuracy: On the validation images.
        relevance: The share of the relevance that is in the patch, over the patch's share of the area.
        gate_open: Whether a checkpoint could be written.
    """

    epoch: int
    accuracy: float
    relevance: float
    gate_open: bool


@dataclass(frozen=True)
class Result:
    """What came out of a training run.

    Args:
        name: Which run.
        validations: One entry for each epoch.
        checkpoint: The best checkpoint that the gate let through.
        moved: Accuracy of the final model with the patch in the opposite corner.
        redrawn: Accuracy of the final model with the patch in its place, its gray level at random.
        seconds: How long the training took, with everything that watched it.
    """

    name: Name
    validations: tuple[Validation, ...]
    checkpoint: Path | None
    moved: float
    redrawn: float
    seconds: float

    @property
    def last(self) -> Validation:
        """The last validation."""
        return self.validations[-1]


class Journal(Callback):
    """Writes down every validation, with the verdict on it.

    Args:
        checkpoint: The gated checkpoint.
        on_step: Called after every training step, with the share of the run that is done.
        on_validation: Called with every new entry.
    """

    def __init__(
        self,
        checkpoint: AttributionCheckpoint,
        on_step: Callable[[float], None],
        on_validation: Callable[[Validation], None],
    ) -> None:
        self.entries: list[Validation] = []
        self._checkpoint = checkpoint
        self._on_step, self._on_validation = on_step, on_validation

    @override
    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        self._on_step(trainer.global_step / trainer.estimated_stepping_batches)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        verdict = self._checkpoint.verdict
        entry = Validation(
            epoch=len(self.entries) + 1,
            accuracy=float(trainer.callback_metrics["val_acc"]),
            relevance=float(trainer.callback_metrics[RELEVANCE]),
            gate_open=verdict is not None and verdict.open,
        )
        self.entries.append(entry)
        self._on_validation(entry)


def train(
    name: Name,
    out: Path,
    epochs: int,
    seed: int,
    on_step: Callable[[float], None] = lambda _: None,
    on_validation: Callable[[Validation], None] = lambda _: None,
) -> Result:
    """Train, explain at every validation, gate the checkpoints, and in the end move the patch.

    Args:
        name: ``"shortcut"``: the patch's gray level follows the label, in training and validation
            images. ``"honest"``: it is drawn at random.
        out: TensorBoard's logs go to ``out / name``, checkpoints to ``out / name / "checkpoints"``; the final
            model, which no gate was asked for, and the probe set to ``out / name / "final.ckpt"`` and ``"probe.pt"``.
        epochs: Epochs.
        seed: For everything that is random.
        on_step: Called after every training step, with the share of the run that is done.
        on_validation: Called with every validation.

    Returns:
        The result.
    """
    training, held_out = (_planted(name, digits, seed + i) for i, digits in enumerate(split(load_digits())))
    # A fixed number of rows: else it would depend on the machine's speed, and with it the last bits of the scores.
    monitor = AttributionMonitor(_probe(held_out), methods=METHODS, max_rows=_ROWS)
    checkpoint = AttributionCheckpoint(
        dirpath=out / name / "checkpoints",
        filename="{epoch}-{val_acc:.3f}",
        monitor="val_acc",
        mode="max",
        gate=GATE,
    )
    journal = Journal(checkpoint, on_step, on_validation)
    started = time.perf_counter()
    with quiet():
        torch.manual_seed(seed)
        model = DigitClassifier()
        trainer = _trainer(name, out, epochs, [monitor, checkpoint, journal])
        trainer.fit(model, _batches(training, shuffle=True), _batches(held_out))
        # What a run without a gate leaves behind, and what it was judged on: for an audit.
        trainer.save_checkpoint(out / name / "final.ckpt")
        monitor.probe.save(out / name / "probe.pt")
    return Result(
        name=name,
        validations=tuple(journal.entries),
        checkpoint=Path(checkpoint.best_model_path) if checkpoint.best_model_path else None,
        moved=_moved(model, held_out),
        redrawn=_redrawn(model, held_out, seed),
        seconds=time.perf_counter() - started,
    )


def _planted(name: Name, digits: Digits, seed: int) -> Digits:
    gray = telling_gray(digits.label) if name == "shortcut" else random_gray(digits.label, seed)
    return plant_patch(digits, gray)


def _probe(digits: Digits) -> ProbeSet:
    return ProbeSet.from_dataset(
        digits.dataset(),
        size=_PROBE,
        mask=patch_mask(),
        region="artefact",
        class_names=[str(label) for label in range(CLASSES)],
    )


def _batches(digits: Digits, shuffle: bool = False) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(digits.dataset(), _BATCH if shuffle else len(digits), shuffle=shuffle)


def _trainer(name: Name, out: Path, epochs: int, callbacks: list[Callback]) -> Trainer:
    return Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        callbacks=callbacks,
        logger=TensorBoardLogger(out, name="", version=name, default_hp_metric=False),
        log_every_n_steps=10,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _moved(model: DigitClassifier, digits: Digits) -> float:
    # Where the patch was there is background again.
    gray = digits.images[:, 0, 0, 0]
    unplanted = plant_patch(digits, torch.zeros_like(gray))
    return accuracy(model, plant_patch(unplanted, gray, "bottom right").images, digits.label)


def _redrawn(model: DigitClassifier, digits: Digits, seed: int) -> float:
    # The seeds before are those of the patches in training and validation.
    gray = random_gray(digits.label, seed + 2)
    return accuracy(model, plant_patch(digits, gray).images, digits.label)
