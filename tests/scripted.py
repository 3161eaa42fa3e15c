"""A training run whose scores are known beforehand, for the tests of the gate."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lightning_explain.checkpoint import AttributionCheckpoint
from lightning_explain.examination import Report
from lightning_explain.metrics import Score

MASS, SRG = "attribution/saliency/relevance_mass", "attribution/saliency/srg"
NAN = math.nan
FAILS = "fails"
GATE = f"{MASS} >= 1.5"
OPEN, CLOSED = 2.0, 0.8


def score(mean: float, random: float = NAN) -> Score:
    """A mean over eight samples, its interval, and that of its distance from random, 0.2 to both sides."""
    n, ahead = 0 if math.isnan(mean) else 8, mean - random
    return Score(
        mean,
        0.1,
        n,
        8 - n,
        (),
        higher_is_better=True,
        low=mean - 0.2,
        high=mean + 0.2,
        advantage=ahead,
        advantage_low=ahead - 0.2,
        advantage_high=ahead + 0.2,
    )


class AttributionMonitor(Callback):
    """What the gate sees of a monitor.

    Args:
        script: For every validation the score, scores by name, None if it is skipped, or ``FAILS``; the last
            entry is repeated.
        random: The SRG of random attributions; None if there are no yardsticks.
    """

    def __init__(
        self, *script: float | Mapping[str, float] | str | None, name: str = "attribution", random: float | None = None
    ) -> None:
        super().__init__()
        self.script, self.name, self.random = script, name, random
        self.validations = 0
        self.report: Report | None = None

    def score_names(self, trainer: Trainer, pl_module: LightningModule) -> tuple[str, ...]:
        if next(pl_module.parameters(), None) is None:
            raise RuntimeError("The module has no parameters yet.")
        own = tuple(f"{self.name}/saliency/{score}" for score in ("relevance_mass", "srg"))
        return own if self.random is None else (*own, f"{self.name}/random/srg")

    def yardsticks(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, str]:
        return {} if self.random is None else {f"{self.name}/saliency/srg": f"{self.name}/random/srg"}

    def directions(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, bool | None]:
        return dict.fromkeys(self.score_names(trainer, pl_module), True)

    @property
    def state_key(self) -> str:
        return self._generate_state_key(name=self.name)

    def state_dict(self) -> dict[str, int]:
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.validations = state_dict["validations"]

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        self.validations += int(trainer.state.fn == "fit")
        entry = self.script[min(max(self.validations, 1), len(self.script)) - 1]
        if entry is None:
            return
        if entry == FAILS:
            self.report = None
            return
        means = entry if isinstance(entry, Mapping) else dict.fromkeys(self.score_names(trainer, pl_module), entry)
        if self.random is not None:
            means = {**means, f"{self.name}/random/srg": self.random}
        scores = {name: score(mean, NAN if self.random is None else self.random) for name, mean in means.items()}
        self.report = Report(self.validations, trainer.global_step, scores)
        for name, each in scores.items():
            pl_module.log(name, each.mean)


class Module(LightningModule):
    """Logs as ``val_loss`` what it is told: one number for every validation, the last repeated, None for nothing."""

    def __init__(self, *val_losses: float | None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)
        self.val_losses = val_losses or (1.0,)
        self.validations = 0
        self.judged: dict[int, Tensor] = {}

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self.layer(batch[0]).square().mean()

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.judged[self.trainer.global_step] = self.layer.weight.detach().clone()

    def on_validation_epoch_end(self) -> None:
        if not self.trainer.sanity_checking:
            loss = self.val_losses[min(self.validations, len(self.val_losses) - 1)]
            self.validations += 1
            if loss is not None:
                self.log("val_loss", loss)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def loader() -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(TensorDataset(torch.arange(24.0).view(8, 3) / 24), batch_size=2)


def trainer(path: Path, callbacks: Sequence[Callback], **options: Any) -> Trainer:
    settings = {
        "accelerator": "cpu",
        "max_epochs": 2,
        "logger": False,
        "num_sanity_val_steps": 0,
        "limit_val_batches": 1,
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": path,
    }
    return Trainer(callbacks=list(callbacks), **(settings | options))


def fit(path: Path, callbacks: Sequence[Callback], module: LightningModule | None = None, **options: Any) -> Trainer:
    """Four steps and one validation an epoch, if not told otherwise."""
    ckpt_path = options.pop("ckpt_path", None)
    run = trainer(path, callbacks, **options)
    run.fit(module or Module(), loader(), loader(), ckpt_path=ckpt_path)
    return run


def checkpoint(path: Path, **options: Any) -> AttributionCheckpoint:
    return AttributionCheckpoint(**({"dirpath": path / "checkpoints", "gate": [GATE]} | options))


def steps(path: Path) -> list[int]:
    """At which steps there is a checkpoint, by what the files hold."""
    files = (path / "checkpoints").glob("*.ckpt")
    return sorted({torch.load(file, weights_only=True)["global_step"] for file in files})


def verdicts(path: Path, name: str = "gate") -> list[dict[str, Any]]:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    return json.loads((path / "checkpoints" / f"{name}_verdicts.json").read_text(), parse_constant=refuse)
