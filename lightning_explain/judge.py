"""A gate at work in a training run: what the checkpoint and the stopping callback share."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, cast

import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torch import Tensor

from lightning_explain.attribution.model import is_materialized
from lightning_explain.compat import begins_run, validation_step_axis
from lightning_explain.evidence import value_of
from lightning_explain.gate import Gate, History, Value, Verdict
from lightning_explain.loggers import write_text
from lightning_explain.registry import unknown

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule, Trainer

    from lightning_explain.callback import AttributionMonitor


class Judge:
    """Finds the scores that a gate asks for, judges each validation and tells the loggers.

    Args:
        gate: Conditions such as ``"lower(attribution/saliency/srg) > random"``. A name that does not begin with that
            of an attribution monitor is looked up among the metrics that the run logs.
        name: The gate's own name: what it logs is called ``<monitor>/<name>``.

    Raises:
        ValueError: If a condition cannot be read, or the name cannot be part of a file name.
    """

    def __init__(self, gate: str | Iterable[str], name: str) -> None:
        if not re.fullmatch(r"[\w.-]+", name):
            raise ValueError(f"The name of a gate is made of letters, digits and _ . -, got {name!r}.")
        self.gate = Gate.parse(gate)
        self.name = name
        self.history = History()
        self._monitors: tuple[AttributionMonitor, ...] = ()
        self._seen: dict[str, tuple[Tensor, int]] = {}
        self._scored_at: dict[str, int] = {}
        self._yardsticks: dict[str, str] = {}
        self._checked = self._looked = False

    @property
    def tag(self) -> str:
        """The name under which the gate's state is logged."""
        return f"{self._subjects()[0].name}/{self.name}"

    @property
    def validation(self) -> int:
        """The number of the current validation run."""
        return self._subjects()[0].validations

    def setup(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the monitors, forget earlier runs, and check the names if the module has its parameters already.

        Raises:
            MisconfigurationException: If there is no monitor, a score will not exist, or the name is taken.
        """
        self._seen, self._scored_at, self._checked, self._looked = {}, {}, False, False
        self._yardsticks = {}
        if begins_run(trainer):
            self.history = History()
        self._monitors = _monitors(trainer)
        if not self._monitors:
            raise MisconfigurationException(
                f"The gate {self.gate.texts} has nothing to judge: add an AttributionMonitor to the callbacks."
            )
        self._require_own_name(trainer)
        if not trainer.enable_validation:
            rank_zero_warn(f"This run has no validation, so the gate {self.gate.texts} will never open.")
        self.check(trainer, pl_module)

    def check(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check every name that a monitor answers for, once the module has its parameters.

        That is in ``setup``; after ``configure_model`` in ``on_fit_start``; for lazy parameters, which only the first
        batch makes, at the first validation.
        """
        if self._checked or not is_materialized(pl_module):
            return
        self._checked = True
        for monitor in self._monitors:
            self._require_scores(monitor, trainer, pl_module)
            self._yardsticks |= monitor.yardsticks(trainer, pl_module)
        with _misconfiguration():
            self.gate.check_metrics(f"{monitor.name}/" for monitor in self._monitors)

    def has_scores(self, trainer: Trainer) -> bool:
        """Whether this validation was explained by every monitor that the gate names.

        Returns:
            False if a monitor left it out.
        """
        named = {self._monitor_of(condition.score) for condition in self.gate.conditions} - {None}
        return all(_is_current(monitor, trainer) for monitor in named if monitor is not None)

    def judge(self, trainer: Trainer) -> Verdict:
        """Judge the validation that is ending. Every rank has to call this, and every rank gets the same answer.

        Returns:
            The verdict.
        """
        self.check(trainer, trainer.lightning_module)
        self._warn_of_unlogged(trainer)
        scores = {condition.score for condition in self.gate.conditions}
        lines = {self._yardsticks[score] for score in scores if score in self._yardsticks}
        values = {score: self._value(score, trainer) for score in scores | lines}
        verdict = self.gate.judge(
            {score: value for score, value in values.items() if value is not None},
            step=trainer.global_step,
            validation=self.validation,
            yardsticks=self._yardsticks,
            history=self.history,
        )
        self.history = self._agreed(verdict.history, trainer)
        agreed = trainer.strategy.reduce_boolean_decision(verdict.open, all=True)
        return replace(verdict, open=agreed, history=self.history)

    def log(self, trainer: Trainer, value: float) -> None:
        """Log a number under the gate's tag, on the step of the validation's scalars."""
        trainer.callback_metrics[self.tag] = torch.tensor(value, device=trainer.strategy.root_device)
        for logger in trainer.loggers:
            logger.log_metrics({self.tag: value}, step=validation_step_axis(trainer))

    def tell(self, trainer: Trainer, sentence: str) -> None:
        """Say a sentence on the console and, where loggers take text, in the log."""
        rank_zero_info(f"[{self.tag}] {sentence}")
        if not trainer.is_global_zero:
            return
        # A logger without text misses nothing: the sentence is on the console and in the file of verdicts.
        for logger in trainer.loggers:
            write_text(logger, self.tag, sentence, validation_step_axis(trainer))

    def _agreed(self, history: History, trainer: Trainer) -> History:
        # Scores may differ in their last digits, and metrics that are not synced by more: ranks would come to remember
        # different things. What held has to have held on every rank; the best value is that of rank zero. Whether
        # there is something to agree on is read from the gate: on one rank alone, a score may have had no value yet.
        best, streaks = history.best, history.streaks
        if any(condition.reference == "best" for condition in self.gate.conditions):
            best = trainer.strategy.broadcast(dict(best))
        if streaks:
            counts = torch.tensor([*streaks.values()], device=trainer.strategy.root_device)
            # Gathered, because not every strategy can reduce to the least.
            of_ranks = trainer.strategy.all_gather(counts).view(-1, len(streaks))
            streaks = dict(zip(streaks, of_ranks.amin(dim=0).tolist(), strict=True))
        return History(best, streaks)

    def _subjects(self) -> list[AttributionMonitor]:
        named = [self._monitor_of(condition.score) for condition in self.gate.conditions]
        return [monitor for monitor in named if monitor is not None] or list(self._monitors)

    def _monitor_of(self, score: str) -> AttributionMonitor | None:
        return next((monitor for monitor in self._monitors if score.startswith(f"{monitor.name}/")), None)

    def _require_own_name(self, trainer: Trainer) -> None:
        judges = [getattr(callback, "judge", None) for callback in _callbacks(trainer)]
        if any(isinstance(other, Judge) and other is not self and other.name == self.name for other in judges):
            raise MisconfigurationException(
                f"Two gates of this trainer are called {self.name!r}; give one of them another name, "
                f"such as name='{self.name}_2'."
            )

    def _require_scores(self, monitor: AttributionMonitor, trainer: Trainer, pl_module: LightningModule) -> None:
        names = monitor.score_names(trainer, pl_module)
        yardsticks, directions = monitor.yardsticks(trainer, pl_module), monitor.directions(trainer, pl_module)
        with _misconfiguration():
            self.gate.check(names, f"{monitor.name}/", yardsticks=yardsticks, directions=directions)
        for condition in self.gate.conditions:
            near = get_close_matches(condition.score, names, n=1, cutoff=0.85)
            if self._monitor_of(condition.score) is None and near:
                raise MisconfigurationException(
                    f"The gate's {condition.score!r} is no score of an attribution monitor. Did you mean {near[0]!r}?"
                    f" Known: {', '.join(names)}."
                )

    def _warn_of_unlogged(self, trainer: Trainer) -> None:
        # No error: a metric may be logged at later validations only. Known it is at the end of the first one, at best.
        if self._looked:
            return
        self._looked = True
        logged = trainer.callback_metrics
        for name in dict.fromkeys(condition.score for condition in self.gate.conditions):
            if self._monitor_of(name) is None and name not in logged:
                rank_zero_warn(
                    f"The gate asks for {name!r}, which the run has not logged so far: it is closed until then."
                    f" {unknown('metric', name, sorted(logged))}"
                )

    def _value(self, score: str, trainer: Trainer) -> Value | None:
        monitor = self._monitor_of(score)
        return self._logged(score, trainer) if monitor is None else self._scored(score, monitor, trainer)

    def _scored(self, name: str, monitor: AttributionMonitor, trainer: Trainer) -> Value | None:
        report = monitor.report
        if report is not None and name in report.scores:
            self._scored_at[name] = report.global_step
            if _is_current(monitor, trainer):
                return value_of(report.scores[name])
        step = self._scored_at.get(name)
        return None if step is None else Value(math.nan, stale_since=step)

    def _logged(self, name: str, trainer: Trainer) -> Value | None:
        metric = trainer.callback_metrics.get(name)
        if metric is None:
            return None
        # Lightning keeps the last value of a metric for ever; a new one has a memory of its own.
        seen, step = self._seen.get(name, (None, 0))
        if seen is not None and metric.is_set_to(seen):
            return Value(float(metric), stale_since=step)
        self._seen[name] = (metric, trainer.global_step)
        return Value(float(metric))


@contextmanager
def _misconfiguration() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise MisconfigurationException(str(error)) from None


def _callbacks(trainer: Trainer) -> list[Callback]:
    return list(trainer.callbacks)  # type: ignore[attr-defined]  # (set by a connector)


def _monitors(trainer: Trainer) -> tuple[AttributionMonitor, ...]:
    found = [c for c in _callbacks(trainer) if any(cls.__name__ == "AttributionMonitor" for cls in type(c).__mro__)]
    return tuple(cast("AttributionMonitor", callback) for callback in found)


def _is_current(monitor: AttributionMonitor, trainer: Trainer) -> bool:
    report = monitor.report
    if report is None:
        return False
    return report.validation == monitor.validations and report.global_step == trainer.global_step
