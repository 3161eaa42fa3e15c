"""Early stopping when a gate stays closed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from typing_extensions import override

from lightning_explain.compat import begins_run
from lightning_explain.gate import History
from lightning_explain.judge import Judge

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

    from lightning_explain.gate import Verdict


class AttributionStopping(Callback):
    """Stop training when a gate was closed on several validations in a row.

    The gate is judged at the end of every validation that the monitors it names have explained; validations that
    they left out do not count. How many it has been closed in a row is logged as ``<monitor's name>/<name>``.

    Args:
        gate: Conditions, as of :class:`~lightning_explain.AttributionCheckpoint`.
        patience: After so many closed validations in a row training is stopped.
        min_validations: The first so many validations do not count: a model has to begin somewhere.
        verbose: Whether to say every verdict.
        name: The gate's name; another one for every gate of a trainer.

    Attributes:
        verdict: The last verdict.
        wait_count: How many validations in a row the gate has been closed.
        stopped_epoch: The epoch in which training was stopped; 0 if it was not.
        stopping_reason_message: Why training was stopped.

    Raises:
        ValueError: If a condition cannot be read, ``patience`` is below 1 or ``min_validations`` below 0.

    Example:
        >>> stopping = AttributionStopping(gate="attribution/integrated_gradients/relevance_mass >= 1.5", patience=5)
        >>> stopping.wait_count
        0
    """

    def __init__(
        self,
        gate: str | Iterable[str],
        patience: int = 3,
        min_validations: int = 0,
        verbose: bool = False,
        name: str = "stopping",
    ) -> None:
        super().__init__()
        if patience < 1 or min_validations < 0:
            raise ValueError(f"Expected patience >= 1 and min_validations >= 0, got {patience} and {min_validations}.")
        self.judge = Judge(gate, name)
        self.patience = patience
        self.min_validations = min_validations
        self.verbose = verbose
        self._start()

    def _start(self) -> None:
        """Begin a run: what stopped an earlier one does not count. A resume loads its own counts afterwards."""
        self.verdict: Verdict | None = None
        self.judged = 0
        self.wait_count = 0
        self.stopped_epoch = 0
        self.stopping_reason_message: str | None = None

    @property
    @override
    def state_key(self) -> str:
        return self._generate_state_key(gate=self.judge.gate.texts, name=self.judge.name)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {
            "judged": self.judged,
            "wait_count": self.wait_count,
            "stopped_epoch": self.stopped_epoch,
            "stopping_reason_message": self.stopping_reason_message,
            "history": self.judge.history.to_dict(),
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.judged = state_dict["judged"]
        self.wait_count = state_dict["wait_count"]
        self.stopped_epoch = state_dict["stopped_epoch"]
        self.stopping_reason_message = state_dict["stopping_reason_message"]
        self.judge.history = History.from_dict(state_dict.get("history"))

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            if begins_run(trainer):
                self._start()
            self.judge.setup(trainer, pl_module)

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.judge.check(trainer, pl_module)  # where the parameters came with configure_model

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the gate, and stop if patience is exhausted."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING or not self.judge.has_scores(trainer):
            return
        self.verdict = self.judge.judge(trainer)
        self.judged += 1
        counts = not self.verdict.open and self.judged > self.min_validations
        self.wait_count = self.wait_count + 1 if counts else 0
        self.judge.log(trainer, float(self.wait_count))
        if self.verbose:
            rank_zero_info(f"[{self.judge.tag}] {self.verdict.sentence}")
        if self.wait_count >= self.patience and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._stop(trainer, self.verdict.sentence)

    def _stop(self, trainer: Trainer, sentence: str) -> None:
        trainer.should_stop = True
        self.stopped_epoch = trainer.current_epoch
        times = "validation" if self.wait_count == 1 else f"{self.wait_count} validations in a row"
        self.stopping_reason_message = f"The gate was closed at the last {times}. {sentence} Training is stopped."
        self.judge.tell(trainer, self.stopping_reason_message)
