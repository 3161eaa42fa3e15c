"""The monitor: when to explain. The only file, beside those of the gate, that knows the Trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import nn
from typing_extensions import override

from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.model import Forward, call, is_materialized
from lightning_explain.attribution.replication import Replicating
from lightning_explain.best import Best
from lightning_explain.clock import Clock
from lightning_explain.compat import begins_run, validation_step_axis
from lightning_explain.defaults import default_methods, default_metrics
from lightning_explain.examination import Examination, Maps, Report
from lightning_explain.gallery import Gallery
from lightning_explain.guest import Once, as_fed, attempt, misconfiguration, move_before_averaging
from lightning_explain.inputs import Inputs
from lightning_explain.probe import ProbeSet
from lightning_explain.publishing import draw, log_cost, log_scores
from lightning_explain.requirements import (
    check_settings,
    remarks,
    require_best,
    require_own_name,
    require_scores,
    require_whole_parameters,
    watched_by_checkpoint,
)
from lightning_explain.saved_state import SavedState
from lightning_explain.settings import Settings
from lightning_explain.specs import MethodSpec, MetricSpec
from lightning_explain.suite import Suite

T = TypeVar("T")


class AttributionMonitor(Callback):
    """Explains a fixed probe set at every validation, scores the explanations and draws them.

    Scores go through ``pl_module.log`` as ``<name>/<method>[@<layer>]/<score>``, on the step axis of the
    validation curves: ``ModelCheckpoint``, ``EarlyStopping``, progress bars and all loggers see them. Where a
    score has a yardstick, that of random attributions stands beside it as ``<name>/random/<score>``. TensorBoard
    gets a picture for each sample and a contact sheet for each method, at the same steps. The seconds spent
    are logged as ``<name>/seconds`` and ``<name>/time_share`` (of the run's time so far).

    The training is not touched: it ends with the same weights, optimizer states, random states, flags, hooks
    and gradients, bit for bit, as without the monitor. It runs in ``fit`` (not in the sanity check),
    ``validate`` and ``test``; on several devices every rank explains the whole probe set. Weights averaged by
    ``WeightAveraging`` are explained averaged, as they are saved: the monitor moves before that callback.

    Args:
        probe: The samples.
        methods: Names (``"integrated_gradients"``), names at a layer (``"grad_cam@backbone.layer4"``), methods
            (``IntegratedGradients(n_steps=64)``) or pairs of one with a place. None: saliency, integrated
            gradients, and Grad-CAM if the model has a convolution, else input x gradient.
        metrics: Names (``"srg"``) or metrics (``MaxSensitivity(copies=8)``). None: of those that apply, the
            ones that say most for their rows, see ``docs/metrics.md``.
        every_n_validations: Run at the first validation of ``fit`` and at every n-th after it. In between, scores
            are stale: gates refuse them, while plain callbacks that monitor one see the last.
        on_error: ``"raise"`` what goes wrong in a validation, or ``"warn"`` and log NaN for its scores. Wrong
            configurations are raised before the training in either case.
        name: The prefix of everything that is logged; two monitors need different ones.
        forward: How the model is called, ``(module, inputs) -> outputs``; by default ``module(inputs)``.
        max_pictures: The samples that are drawn, at most; 0 for none.
        max_rows: The most rows that go through the model at once; None: chosen by measurement.
        prog_bar: Scores shown in the progress bar, without the prefix (``"integrated_gradients/srg"``).
        seed: Where the random removals, yardsticks and parameters begin.
        per_class: Log every score for the samples of each class too, as ``<score>/class_<label>``.
        best: Which validation is the best, for ``drift_from_best``: the name of a logged metric and ``"min"`` or
            ``"max"``. None: what the trainer's checkpoint callback watches, if it watches something. A resumed run
            looks for a new best.
        replica: Whether a cheaper replica of the model is explained: True, or a type such as ``torch.bfloat16``; see
            :func:`~lightning_explain.explain`. It is made and tried anew at every validation.

    Raises:
        MisconfigurationException: At construction or in ``setup``, if something does not fit; the message says
            what would.

    Example::

        probe = ProbeSet.from_dataset(val_set, size=32)
        trainer = Trainer(callbacks=[AttributionMonitor(probe)])
    """

    def __init__(  # noqa: PLR0913  (a user's settings, most of them keyword-only)
        self,
        probe: ProbeSet,
        methods: Sequence[MethodSpec] | None = None,
        metrics: Sequence[MetricSpec] | None = None,
        *,
        every_n_validations: int = 1,
        on_error: Literal["raise", "warn"] = "raise",
        name: str = "attribution",
        forward: Forward = call,
        max_pictures: int = 16,
        max_rows: int | None = None,
        prog_bar: Sequence[str] = (),
        seed: int = 0,
        per_class: bool = False,
        best: tuple[str, Literal["min", "max"]] | None = None,
        replica: Replicating = False,
    ) -> None:
        super().__init__()
        check_settings(
            probe,
            name=name,
            every_n_validations=every_n_validations,
            on_error=on_error,
            max_pictures=max_pictures,
            per_class=per_class,
            best=best,
        )
        self.probe, self.methods, self.metrics = probe, methods, metrics
        self.every_n_validations, self.on_error, self.name = every_n_validations, on_error, name
        self.forward, self.prog_bar, self.seed = forward, tuple(prog_bar), seed
        self.per_class, self.best, self.replica = per_class, best, replica
        self._budget = RowBudget(max_rows)
        self._gallery = Gallery(name, max_pictures)
        self._suite = self._make_suite(None)
        self._prepared, self._clock, self._once = False, Clock(), Once()
        self._start()

    def _start(self) -> None:
        """Begin a run: what an earlier fit saw is not its history. A resume loads its own afterwards."""
        self.validations = 0
        self.report: Report | None = None
        self._examination: Examination | None = None
        self._previous: Maps | None = None
        self._best = Best()
        self._gallery.start()

    def score_names(self, trainer: Trainer, pl_module: LightningModule) -> tuple[str, ...]:
        """The full names of all scores that will be logged; to be asked from ``setup`` on.

        Args:
            trainer: The trainer.
            pl_module: The module.

        Returns:
            Names, ``<name>/<method>[@<layer>]/<score>``.
        """
        self._prepare(trainer, pl_module)
        return self._names()

    def yardsticks(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, str]:
        """The score of random attributions that belongs to each score, where there is one; from ``setup`` on.

        Args:
            trainer: The trainer.
            pl_module: The module.

        Returns:
            ``<name>/random[@<layer>]/<score>`` by the full name of the score.
        """
        self._prepare(trainer, pl_module)
        return self._suite.yardsticks(self.name, per_class=self.per_class)

    def directions(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, bool | None]:
        """Whether higher is better, for each score; from ``setup`` on.

        Args:
            trainer: The trainer.
            pl_module: The module.

        Returns:
            The direction by the full name of the score; None if it has none.
        """
        self._prepare(trainer, pl_module)
        return self._suite.directions(self.name, per_class=self.per_class)

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "predict":
            return
        require_whole_parameters(trainer)
        require_own_name(trainer, self.name)
        if stage == "fit" and begins_run(trainer):
            self._start()
        move_before_averaging(trainer, self)
        self._prepared = False
        self._clock.start()
        if is_materialized(pl_module):
            self._prepare(trainer, pl_module)
        for remark in remarks(trainer, stage):
            self._once.warn(remark)

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if is_materialized(pl_module):  # lazy ones get their shapes, and random values, from the first batch
            self._prepare(trainer, pl_module)  # where the parameters came with configure_model

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.enable_validation and self._prepared and self._suite.measures("drift"):
            # What the first validation is compared with; after a resume, the model that was saved.
            self._previous = self._attempt(trainer, lambda: self._suite.explain(pl_module, self._inputs(trainer)))

    @override
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        fitting = trainer.state.fn == "fit"
        self.validations += int(fitting)
        if not fitting or (self.validations - 1) % self.every_n_validations == 0:
            self._examine(trainer, pl_module, self._previous if fitting else None)

    @override
    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._examine(trainer, pl_module, None)

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._publish(trainer)

    @override
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._publish(trainer)

    # Not state_dict: two stateful callbacks with one name would be refused by Lightning, before setup could say why.
    @override
    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        SavedState(
            self.validations,
            self.probe.identity,
            self._gallery.scales,
            f"{type(pl_module).__module__}:{type(pl_module).__qualname__}",
            Settings.of(self._suite).to_dict(),
        ).write(checkpoint, self.name)

    @override
    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        state = SavedState.read(checkpoint, self.name)
        if state is not None:
            self.validations = state.validations
            if state.is_of(self.probe.identity):
                self._gallery.scales = dict(state.scales)

    def _make_suite(self, pl_module: nn.Module | None) -> Suite:
        methods = self.methods if self.methods is not None else default_methods(pl_module)
        with misconfiguration(self.probe):
            metrics = self.metrics if self.metrics is not None else default_metrics(self.probe, methods)
            return Suite(self.probe, methods, metrics, self.forward, self._budget, self.seed, self.replica)

    def _prepare(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._prepared:
            return
        if self.methods is None:
            self._suite = self._make_suite(pl_module)
        with misconfiguration(self.probe):
            self._suite.prepare(pl_module)
        self._prepared = True
        if self._suite.measures("drift_from_best"):
            require_best(self._watched(trainer))
        require_scores(self.prog_bar, self._names(), self.name)
        # Names hold what was chosen for the user: methods, and the layer of Grad-CAM.
        rank_zero_info(f"AttributionMonitor explains with {', '.join(e.name for e in self._suite.explainers)}.")

    def _examine(self, trainer: Trainer, pl_module: LightningModule, previous: Maps | None) -> None:
        self._prepare(trainer, pl_module)
        found = self._examination = self._attempt(
            trainer, lambda: self._suite.run(pl_module, self._inputs(trainer), previous, self._best.maps)
        )
        scores = {} if found is None else found.scores(self.name, self.probe.label if self.per_class else None)
        self.report = None if found is None else Report(self.validations, trainer.global_step, scores, found.agreement)
        if found is not None and trainer.state.fn == "fit":
            self._previous = found.maps
        log_scores(trainer, pl_module, self._names(), scores, [f"{self.name}/{shown}" for shown in self.prog_bar])

    def _publish(self, trainer: Trainer) -> None:
        """Draw the examination of this validation, and say what it cost; its scalars are written by now."""
        examination, self._examination = self._examination, None
        if examination is None:
            return
        step = validation_step_axis(trainer)
        watched = self._watched(trainer)
        if watched is not None and trainer.state.fn == "fit":  # the validation's metrics are final by now
            self._best.take(trainer.callback_metrics.get(watched[0]), watched[1], examination.maps)
        self._attempt(trainer, lambda: draw(trainer, self._gallery, self.probe, examination, step, self._once))
        log_cost(trainer, self._clock, self.name, step)

    def _names(self) -> tuple[str, ...]:
        return self._suite.score_names(self.name, per_class=self.per_class)

    def _watched(self, trainer: Trainer) -> tuple[str, str] | None:
        return self.best or watched_by_checkpoint(trainer)

    def _attempt(self, trainer: Trainer, work: Callable[[], T]) -> T | None:
        with self._clock.running():
            return attempt(trainer, work, self.on_error)

    def _inputs(self, trainer: Trainer) -> Inputs:
        return as_fed(trainer, self.probe.inputs)
