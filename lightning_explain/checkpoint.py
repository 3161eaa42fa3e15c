"""A ModelCheckpoint that saves only what passes a gate."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.types import STEP_OUTPUT
from typing_extensions import override

from lightning_explain.gate import History
from lightning_explain.judge import Judge
from lightning_explain.registry import unknown

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

    from lightning_explain.gate import Verdict


class AttributionCheckpoint(ModelCheckpoint):
    """Save checkpoints as ``ModelCheckpoint`` does, but only of models that pass a gate.

    At the end of every validation the gate is judged on the scores of that validation. As long as it is closed
    nothing is saved: no top-k, no ``save_last``, nothing on an exception; and nothing is removed or remembered
    either. A score that is missing, NaN, or of an earlier validation closes it: if the
    :class:`~lightning_explain.AttributionMonitor` explains every third validation only, the others save nothing.
    So does a NaN of ``monitor`` itself, which ``ModelCheckpoint`` would save.

    Weights are saved as they were judged. What falls due between two validations (``every_n_train_steps``,
    ``train_time_interval``) is decided, once, by the next validation; what falls due later than the validation
    (``save_on_train_epoch_end=True`` with a validation in mid-epoch) is refused.

    Every verdict is logged, as 0 or 1 under ``<monitor's name>/<name>``, which is also in
    ``trainer.callback_metrics``; said in a sentence with the numbers; and added to
    ``<dirpath>/<name>_verdicts.json``, which a resumed run continues and a new one begins
    anew. ``trainer.save_checkpoint`` asks no gate.

    Args:
        *args: As of ``ModelCheckpoint``.
        gate: One condition or several that must all hold, such as
            ``"attribution/integrated_gradients/relevance_mass >= 1.5"``: a score of the monitor, or any metric
            that the run logs (``"val_acc >= 0.9"``); ``>=``, ``<=``, ``>`` or ``<``; a number. A score may also be
            compared with that of random attributions and with its own best, by the end of its interval, and over
            several validations (``"lower(attribution/saliency/srg) > random for 3 validations"``); ``and``, ``or``
            and parentheses join conditions. See ``docs/gates.md``.
        name: The gate's name; another one for every gate of a trainer.
        **kwargs: As of ``ModelCheckpoint``.

    Raises:
        ValueError: If a condition cannot be read, or two repeat or contradict one another.

    Example:
        >>> checkpoint = AttributionCheckpoint(
        ...     monitor="val_acc", mode="max", gate=["attribution/integrated_gradients/relevance_mass >= 1.5"]
        ... )
        >>> AttributionCheckpoint(gate="attribution/saliency/srg = 0.1")
        Traceback (most recent call last):
        ...
        ValueError: Cannot read the condition: expected one of >=, <=, >, <.
          attribution/saliency/srg = 0.1
                                   ^
    """

    def __init__(self, *args: Any, gate: str | Iterable[str], name: str = "gate", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.judge = Judge(gate, name)
        self.verdict: Verdict | None = None
        self._records: list[object] = []
        self._judged_step = 0
        self._asked_at = 0.0
        self._told_step = -1
        self._warned = False

    @property
    @override
    def state_key(self) -> str:
        return f"{super().state_key}{{'gate': {self.judge.gate.texts}, 'name': {self.judge.name!r}}}"

    @override
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "history": self.judge.history.to_dict()}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.judge.history = History.from_dict(state_dict.get("history"))

    @property
    def verdicts_path(self) -> str:
        """The file of verdicts; known from ``setup`` on."""
        return f"{self.dirpath or '.'}/{self.judge.name}_verdicts.json"

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self.judge.setup(trainer, pl_module)
            self.verdict = None
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self._resume_records(trainer)

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        self.judge.check(trainer, pl_module)  # where the parameters came with configure_model

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._judged_step, self._asked_at = trainer.global_step, time.monotonic()
        # What another run said, or this one before it was set back, is not its history.
        self._records = [record for record in self._records if _step(record) <= trainer.global_step]

    @override
    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save nothing: these weights are not judged yet. :meth:`on_validation_end` makes up for it."""

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the gate, then save what is due if it is open."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        self._pronounce(trainer)
        due = self._fell_due(trainer)
        if not self._grants(trainer):
            return
        if due and not self._should_skip_saving_checkpoint(trainer):
            candidates = self._monitor_candidates(trainer)
            self._save_topk_checkpoint(trainer, candidates)
            self._save_last_checkpoint(trainer, candidates)
        super().on_validation_end(trainer, pl_module)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what is due if the gate is open and nothing was trained since it was judged."""
        self._warn_if_unmonitored(trainer)
        if self._grants(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what is due if the gate is open and nothing was trained since it was judged."""
        if self._grants(trainer):
            super().on_train_end(trainer, pl_module)

    @override
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save if asked to, the gate is open and nothing was trained since it was judged."""
        # The other ranks may not be here: no collective.
        if self._is_open_for(trainer) and not self._monitored_is_nan(trainer):
            super().on_exception(trainer, pl_module, exception)

    def _pronounce(self, trainer: Trainer) -> None:
        self.verdict = self.judge.judge(trainer)
        self.judge.log(trainer, float(self.verdict.open))
        self.judge.tell(trainer, self.verdict.sentence)
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._records.append(self.verdict.to_dict())
            _write_atomically(
                self.verdicts_path, json.dumps(self._records, indent=1, allow_nan=False, ensure_ascii=False)
            )

    def _fell_due(self, trainer: Trainer) -> bool:
        steps, interval, now = self._every_n_train_steps, self._train_time_interval, time.monotonic()
        due = steps >= 1 and trainer.global_step // steps > self._judged_step // steps
        self._judged_step = trainer.global_step
        if interval is None:
            return due
        # Clocks differ; all ranks have to save or none.
        due = trainer.strategy.broadcast(now - self._asked_at >= interval.total_seconds())
        self._asked_at = now if due else self._asked_at
        return due

    def _grants(self, trainer: Trainer) -> bool:
        # Whether the gate is open is the same on every rank already; whether the monitored metric is NaN is not.
        if self.monitor is None or not self._is_open_for(trainer):
            return self._is_open_for(trainer)
        agreed: bool = trainer.strategy.reduce_boolean_decision(not self._monitored_is_nan(trainer), all=True)
        if not agreed and self._told_step != trainer.global_step:
            self._told_step = trainer.global_step  # once, though every hook asks
            rank_zero_info(f"[{self.judge.tag}] Not saved at step {trainer.global_step}: {self.monitor} is NaN.")
        return agreed

    def _is_open_for(self, trainer: Trainer) -> bool:
        verdict = self.verdict
        # Left to itself, ModelCheckpoint would write last.ckpt at the end of a fast_dev_run.
        if verdict is None or not verdict.open or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return False
        return verdict.step == trainer.global_step and verdict.validation == self.judge.validation

    def _monitored_is_nan(self, trainer: Trainer) -> bool:
        value = trainer.callback_metrics.get(self.monitor or "")
        return value is not None and bool(value.isnan().any())

    def _warn_if_unmonitored(self, trainer: Trainer) -> None:
        # ModelCheckpoint would end the run with this, but it is asked only once the gate is open, perhaps after days.
        if self._warned or self.verdict is None or self.monitor is None or self.save_top_k == 0:
            return
        candidates = self._monitor_candidates(trainer)
        if self.monitor not in candidates:
            self._warned = True
            rank_zero_warn(
                f"{unknown('metric', self.monitor, candidates)} The run will end with an error as soon as the gate "
                f"opens: log it, or give another monitor= to {type(self).__name__}."
            )

    def _resume_records(self, trainer: Trainer) -> None:
        problem: str | None = None
        if trainer.is_global_zero:
            self._records, problem = _read(self.verdicts_path)
        problem = trainer.strategy.broadcast(problem)
        if problem is not None:
            raise MisconfigurationException(problem)


def _read(url: str) -> tuple[list[object], str | None]:
    files, path = fsspec.core.url_to_fs(url)
    if not files.exists(path):
        return [], None
    with files.open(path, "r", encoding="utf-8") as file:
        text = file.read()
    try:
        records = json.loads(text)
    except json.JSONDecodeError as error:
        return [], f"Expected a JSON list of verdicts in {url}, got something else ({error}). Move the file away."
    if not isinstance(records, list):
        return [], f"Expected a JSON list of verdicts in {url}, got a {type(records).__name__}. Move the file away."
    return records, None


def _step(record: object) -> float:
    step = record.get("step") if isinstance(record, dict) else None
    return step if isinstance(step, int) else math.inf


def _write_atomically(url: str, text: str) -> None:
    files, path = fsspec.core.url_to_fs(url)
    if not isinstance(files, LocalFileSystem):
        # Object stores show a file only once it is closed.
        with files.open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".json.tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(target)
