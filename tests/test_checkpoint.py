import inspect
import itertools
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from processes import TwoProcesses
from scripted import (
    CLOSED,
    FAILS,
    MASS,
    NAN,
    OPEN,
    SRG,
    AttributionMonitor,
    Module,
    checkpoint,
    fit,
    loader,
    steps,
    trainer,
    verdicts,
)

from lightning_explain.checkpoint import AttributionCheckpoint

PATHS: dict[str, dict[str, Any]] = {
    "default": {},
    "top_k": {"monitor": "val_loss", "save_top_k": 2},
    "all": {"save_top_k": -1},
    "all_ranked": {"monitor": "val_loss", "save_top_k": -1},
    "last": {"save_last": True},
    "last_alone": {"save_last": True, "save_top_k": 0},
    "last_link": {"save_last": "link", "monitor": "val_loss"},
    "steps": {"every_n_train_steps": 2, "save_top_k": -1},
    "steps_last": {"every_n_train_steps": 1, "save_last": True, "monitor": "val_loss"},
    "time": {"train_time_interval": timedelta(microseconds=1), "save_last": True, "save_top_k": -1},
    "train_epoch_end": {"save_on_train_epoch_end": True, "save_last": True},
    "validation_end": {"save_on_train_epoch_end": False, "save_last": True},
    "exception": {"save_on_exception": True, "every_n_epochs": 0, "save_top_k": 0, "save_last": True},
}
if "save_on_exception" not in inspect.signature(ModelCheckpoint).parameters:
    del PATHS["exception"]


def bookkeeping(callback: ModelCheckpoint) -> dict[str, Any]:
    state = callback.state_dict()
    hidden = ("_last_global_step_saved", "_last_checkpoint_saved", "current_score", "last_model_path", "kth_value")
    return state | {name: getattr(callback, name) for name in hidden}


class Raise(Callback):
    """Ends the run at the start of the batch after ``global_step``."""

    def __init__(self, global_step: int) -> None:
        self.global_step = global_step

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.global_step:
            raise RuntimeError("planted")


# --- what is saved, by every way that ModelCheckpoint has


@pytest.mark.parametrize("saves", PATHS)
@pytest.mark.parametrize("entry", [CLOSED, NAN, None, FAILS, {SRG: OPEN}], ids=str)
def test_closed_gate_saves_nothing_and_remembers_nothing(tmp_path: Path, saves: str, entry: Any) -> None:
    gated = checkpoint(tmp_path, **PATHS[saves])
    before = bookkeeping(gated)
    callbacks = [AttributionMonitor(entry), gated]
    if saves == "exception":
        with pytest.raises(RuntimeError, match="planted"):
            fit(tmp_path, [*callbacks, Raise(4)])
    else:
        fit(tmp_path, callbacks)
    assert list(tmp_path.rglob("*.ckpt")) == []
    assert bookkeeping(gated) == before | {"dirpath": str(tmp_path / "checkpoints")}
    assert [verdict["open"] for verdict in verdicts(tmp_path)] == [False] * (1 if saves == "exception" else 2)


@pytest.mark.parametrize("saves", [name for name in PATHS if name != "exception"])
def test_open_gate_saves_what_was_judged(tmp_path: Path, saves: str) -> None:
    module = Module(2.0, 1.0)
    fit(tmp_path, [AttributionMonitor(OPEN), checkpoint(tmp_path, **PATHS[saves])], module)
    assert steps(tmp_path)[-1] == 8
    files = list(tmp_path.rglob("*.ckpt"))
    assert any(file.name.startswith("last") for file in files) == bool(PATHS[saves].get("save_last"))
    for file in files:
        saved = torch.load(file, weights_only=True)
        assert torch.equal(saved["state_dict"]["layer.weight"], module.judged[saved["global_step"]])


@pytest.mark.parametrize("saves", [name for name in PATHS if name != "exception"])
def test_open_gate_saves_as_model_checkpoint_does(tmp_path: Path, saves: str) -> None:
    options = {"save_last": None, **PATHS[saves]}
    gated = checkpoint(tmp_path / "gated", **options)
    plain = ModelCheckpoint(tmp_path / "plain" / "checkpoints", **options)
    for path, callback in (("gated", gated), ("plain", plain)):
        fit(tmp_path / path, [AttributionMonitor(OPEN), callback], Module(2.0, 1.0))
    between = set() if saves not in {"steps", "time", "steps_last"} else set(range(1, 8)) - {4}
    assert set(steps(tmp_path / "gated")) == set(steps(tmp_path / "plain")) - between


@pytest.mark.parametrize("saves", [name for name in PATHS if name != "exception"])
def test_stale_scores_refuse(tmp_path: Path, saves: str) -> None:
    fit(tmp_path, [AttributionMonitor(OPEN, None), checkpoint(tmp_path, **PATHS[saves])], max_epochs=3)
    assert set(steps(tmp_path)) <= {4}
    told = [verdict["sentence"] for verdict in verdicts(tmp_path)]
    expected = (
        f"Gate closed at step 12: {MASS} was not scored at this validation (last scored at step 4), needs >= 1.5."
    )
    assert told[2] == expected


def test_a_failed_examination_is_stale(tmp_path: Path) -> None:
    fit(tmp_path, [AttributionMonitor(OPEN, FAILS), checkpoint(tmp_path, save_top_k=-1)])
    assert steps(tmp_path) == [4]
    assert "(last scored at step 4)" in verdicts(tmp_path)[1]["sentence"]


def test_all_saving_hooks_are_known() -> None:
    hooks = {name for name in vars(ModelCheckpoint) if name.startswith("on_")}
    assert hooks <= {name for name in vars(AttributionCheckpoint) if name.startswith("on_")}


@pytest.mark.skipif("exception" not in PATHS, reason="this Lightning does not save on exceptions")
@pytest.mark.parametrize(("entry", "at", "saved"), [(OPEN, 4, [4]), (OPEN, 5, []), (CLOSED, 4, []), (OPEN, 0, [])])
def test_on_exception(tmp_path: Path, entry: float, at: int, saved: list[int]) -> None:
    gated = checkpoint(tmp_path, save_on_exception=True, every_n_epochs=2)
    with pytest.raises(RuntimeError, match="planted"):
        fit(tmp_path, [AttributionMonitor(entry), gated, Raise(at)])
    assert steps(tmp_path) == saved


# --- when


def test_validation_in_mid_epoch(tmp_path: Path) -> None:
    script = (OPEN, CLOSED, CLOSED, OPEN)
    fit(tmp_path, [AttributionMonitor(*script), checkpoint(tmp_path, save_top_k=-1)], val_check_interval=0.5)
    assert steps(tmp_path) == [2, 8]
    assert [verdict["step"] for verdict in verdicts(tmp_path)] == [2, 4, 6, 8]


def test_steps_after_the_validation_refuse(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, save_top_k=-1, save_on_train_epoch_end=True)
    fit(tmp_path, [AttributionMonitor(OPEN), gated], val_check_interval=3)
    assert [(verdict["step"], verdict["open"]) for verdict in verdicts(tmp_path)] == [(3, True), (7, True)]
    assert steps(tmp_path) == []


def test_validation_every_second_epoch(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, save_top_k=-1)
    fit(tmp_path, [AttributionMonitor(CLOSED, OPEN), gated], check_val_every_n_epoch=2, max_epochs=5)
    assert steps(tmp_path) == [16]
    assert [verdict["step"] for verdict in verdicts(tmp_path)] == [8, 16]


@pytest.mark.parametrize(
    ("n", "script", "saved"),
    [
        (3, [OPEN], [4, 8, 12]),
        (6, [OPEN], [8, 12]),
        (6, [OPEN, CLOSED, OPEN], [12]),
        (6, [OPEN, OPEN, CLOSED], [8]),
        (5, [CLOSED, CLOSED, OPEN], [12]),
        (7, [CLOSED, CLOSED, OPEN], []),
        (100, [OPEN], []),
    ],
)
def test_what_falls_due_between_validations_waits_for_the_next(
    tmp_path: Path, n: int, script: list[float], saved: list[int]
) -> None:
    gated = checkpoint(tmp_path, save_top_k=-1, every_n_train_steps=n)
    fit(tmp_path, [AttributionMonitor(*script), gated], max_epochs=3)
    assert steps(tmp_path) == saved


def test_accumulation_with_validation_in_between(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, save_top_k=-1, every_n_train_steps=1)
    script = (CLOSED, OPEN, OPEN, OPEN)
    fit(tmp_path, [AttributionMonitor(*script), gated], val_check_interval=1, accumulate_grad_batches=2, max_epochs=1)
    assert [verdict["step"] for verdict in verdicts(tmp_path)] == [0, 1, 1, 2]
    assert steps(tmp_path) == [1, 2]


def test_time_that_has_not_passed(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, train_time_interval=timedelta(hours=1))
    fit(tmp_path, [AttributionMonitor(OPEN), gated])
    assert steps(tmp_path) == []


def test_time_is_asked_at_validations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # One reading at the start, then one at each validation: 40 minutes apart, so that every second is due.
    minutes = itertools.count(step=40)
    monkeypatch.setattr("lightning_explain.checkpoint.time", SimpleNamespace(monotonic=lambda: 60 * next(minutes)))
    gated = checkpoint(tmp_path, train_time_interval=timedelta(hours=1), save_top_k=-1)
    script = (OPEN, OPEN, OPEN, CLOSED, OPEN, OPEN)
    fit(tmp_path, [AttributionMonitor(*script), gated], max_epochs=6)
    assert steps(tmp_path) == [8, 24]


def test_the_same_step_is_saved_once(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, **PATHS["time"])
    fit(tmp_path, [AttributionMonitor(OPEN), gated], val_check_interval=1, accumulate_grad_batches=2, max_epochs=1)
    assert len(verdicts(tmp_path)) == 4
    assert sorted(file.name for file in tmp_path.rglob("*.ckpt")) == [
        "epoch=0-step=1.ckpt",
        "epoch=0-step=2.ckpt",
        "last.ckpt",
    ]


def test_a_score_of_the_same_step_but_an_earlier_validation_is_stale(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, save_top_k=-1)
    options = {"val_check_interval": 1, "accumulate_grad_batches": 2, "max_epochs": 1}
    fit(tmp_path, [AttributionMonitor(None, OPEN, None), gated], **options)
    told = [(verdict["step"], verdict["open"]) for verdict in verdicts(tmp_path)]
    assert told == [(0, False), (1, True), (1, False), (2, False)]
    assert "(last scored at step 1)" in verdicts(tmp_path)[2]["sentence"]


def test_a_score_of_this_validation_but_an_earlier_step_is_stale(tmp_path: Path) -> None:
    class Late(AttributionMonitor):
        def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            super().on_validation_epoch_end(trainer, pl_module)
            self.report = replace(self.report, global_step=trainer.global_step - 1)

    fit(tmp_path, [Late(OPEN), checkpoint(tmp_path, save_last=True)])
    assert steps(tmp_path) == []
    assert "(last scored at step 3)" in verdicts(tmp_path)[0]["sentence"]


@pytest.mark.skipif("exception" not in PATHS, reason="this Lightning does not save on exceptions")
def test_an_exception_before_the_verdict_on_a_validation_saves_nothing(tmp_path: Path) -> None:
    class RaiseInValidation(Callback):
        def on_validation_epoch_end(self, trainer: Trainer, *_: Any) -> None:
            if gated.verdict is not None and gated.verdict.step == trainer.global_step:
                raise RuntimeError("planted")

    gated = checkpoint(tmp_path, save_on_exception=True, every_n_epochs=2)
    options = {"val_check_interval": 1, "accumulate_grad_batches": 2, "max_epochs": 1}
    with pytest.raises(RuntimeError, match="planted"):
        fit(tmp_path, [AttributionMonitor(OPEN), gated, RaiseInValidation()], **options)
    assert (gated.verdict.step, gated.verdict.validation) == (1, 2)
    assert steps(tmp_path) == []


class Manual(Module):
    """Keeps the weights before each step where ModelCheckpoint looks for them."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.saved_models: dict[int, dict[str, torch.Tensor]] = {}

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:  # type: ignore[override]
        self.saved_models[batch_idx] = {k: v.detach().clone() for k, v in self.layer.state_dict().items()}
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(super().training_step(batch, batch_idx))
        optimizer.step()


def test_manual_optimization_saves_the_weights_that_were_judged(tmp_path: Path) -> None:
    module = Manual()
    fit(tmp_path, [AttributionMonitor(OPEN), checkpoint(tmp_path, every_n_train_steps=1, save_top_k=-1)], module)
    assert steps(tmp_path) == [4, 8]
    for file in tmp_path.rglob("*.ckpt"):
        saved = torch.load(file, weights_only=True)
        assert torch.equal(saved["state_dict"]["layer.weight"], module.judged[saved["global_step"]])


@pytest.mark.parametrize("run", ["validate", "test"])
def test_outside_of_training_nothing_is_judged(tmp_path: Path, run: str) -> None:
    class Tested(Module):
        def test_step(self, batch: list[torch.Tensor], batch_idx: int) -> None: ...

    gated = checkpoint(tmp_path)
    getattr(trainer(tmp_path, [AttributionMonitor(OPEN), gated]), run)(Tested(), loader(), verbose=False)
    assert gated.verdict is None
    assert not (tmp_path / "checkpoints").exists()


def test_sanity_check_is_not_judged(tmp_path: Path) -> None:
    fit(tmp_path, [AttributionMonitor(OPEN), checkpoint(tmp_path)], num_sanity_val_steps=1)
    assert [verdict["step"] for verdict in verdicts(tmp_path)] == [4, 8]


def test_fast_dev_run_judges_and_writes_nothing(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, save_last=True)
    run = fit(tmp_path, [AttributionMonitor(OPEN), gated], fast_dev_run=True)
    assert gated.verdict is not None
    assert run.callback_metrics["attribution/gate"] == 1
    assert not (tmp_path / "checkpoints").exists()


# --- ModelCheckpoint's own ranking


def test_refused_models_have_no_rank(tmp_path: Path) -> None:
    script = (OPEN, CLOSED, OPEN, OPEN, CLOSED)
    gated = checkpoint(tmp_path, monitor="val_loss", save_top_k=2, save_last=True, filename="{step}")
    run = fit(tmp_path, [AttributionMonitor(*script), gated], Module(4.0, 0.5, 3.0, 2.0, 1.0), max_epochs=5)
    folder = tmp_path / "checkpoints"
    assert {path: float(score) for path, score in gated.best_k_models.items()} == {
        str(folder / "step=12.ckpt"): 3.0,
        str(folder / "step=16.ckpt"): 2.0,
    }
    assert gated.best_model_path == str(folder / "step=16.ckpt")
    assert gated.kth_best_model_path == str(folder / "step=12.ckpt")
    assert gated.current_score == 2.0
    assert {file.name for file in folder.glob("*.ckpt")} == {"step=12.ckpt", "step=16.ckpt", "last.ckpt"}
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 16
    assert run.global_step == 20


def test_a_refusal_changes_nothing(tmp_path: Path) -> None:
    class Watch(Callback):
        seen: list[dict[str, Any]] = []  # noqa: RUF012

        def on_train_epoch_start(self, *_: Any) -> None:
            self.seen.append(bookkeeping(gated))

    gated = checkpoint(tmp_path, monitor="val_loss", save_top_k=1, save_last=True)
    fit(tmp_path, [AttributionMonitor(OPEN, CLOSED), gated, Watch()], Module(4.0, 0.5, 0.4), max_epochs=4)
    assert Watch.seen[0] != Watch.seen[1] == Watch.seen[2] == Watch.seen[3] == bookkeeping(gated)
    assert steps(tmp_path) == [4]


@pytest.mark.parametrize("options", [{"save_top_k": 3}, {"save_top_k": -1}, {"save_last": True}, PATHS["steps_last"]])
def test_nan_of_the_monitored_metric_is_not_saved(
    tmp_path: Path, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    gated = checkpoint(tmp_path, **({"monitor": "val_loss"} | options))
    with caplog.at_level("INFO"):
        fit(tmp_path, [AttributionMonitor(OPEN), gated], Module(NAN, 3.0, NAN), max_epochs=3)
    assert steps(tmp_path) == [8]
    told = [message for message in caplog.messages if "Not saved" in message]
    assert told == [f"[attribution/gate] Not saved at step {step}: val_loss is NaN." for step in (4, 12)]


def test_monitored_metric_that_nobody_logs_is_told_before_the_gate_opens(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, monitor="val_los")
    with pytest.warns(UserWarning, match="No metric 'val_los'. Did you mean 'val_loss'") as caught:
        fit(tmp_path, [AttributionMonitor(CLOSED), gated])
    assert len([w for w in caught if "No metric" in str(w.message)]) == 1


class DisagreeingMonitor(AttributionMonitor):
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_epoch_end(trainer, pl_module)
        if self.validations == 2 and trainer.global_rank == 1:
            scores = {name: replace(score, mean=CLOSED) for name, score in self.report.scores.items()}
            self.report = replace(self.report, scores=scores)


class DisagreeingModule(Module):
    def on_validation_epoch_end(self) -> None:
        self.validations += 1
        nan = self.validations == 3 and self.global_rank == 1
        self.log("val_loss", NAN if nan else 1.0, rank_zero_only=False, sync_dist=False)


def test_two_processes(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, monitor="val_loss", save_top_k=-1, save_last=True)
    callbacks = [DisagreeingMonitor(OPEN), gated]
    fit(tmp_path, callbacks, DisagreeingModule(), devices=2, strategy=TwoProcesses(), max_epochs=4)
    assert [(verdict["step"], verdict["open"]) for verdict in verdicts(tmp_path)] == [
        (2, True),
        (4, False),
        (6, True),
        (8, True),
    ]
    assert steps(tmp_path) == [2, 8]


def test_a_new_run_begins_its_verdicts_anew_and_a_resumed_one_continues_them(tmp_path: Path) -> None:
    fit(tmp_path, [AttributionMonitor(OPEN), checkpoint(tmp_path, save_top_k=-1)], max_epochs=2)
    first = verdicts(tmp_path)
    saved = sorted(tmp_path.rglob("*.ckpt"))[0]
    resumed = {"ckpt_path": str(saved)}
    trainer = fit(tmp_path, [AttributionMonitor(OPEN), checkpoint(tmp_path, save_top_k=-1)], max_epochs=3, **resumed)
    steps_of = [verdict["step"] for verdict in verdicts(tmp_path)]
    assert steps_of == sorted(set(steps_of))
    assert steps_of[: len(first)] == [verdict["step"] for verdict in first]
    assert steps_of[-1] == trainer.global_step
    fit(tmp_path, [AttributionMonitor(OPEN), checkpoint(tmp_path, save_top_k=-1)], max_epochs=2)
    assert [verdict["step"] for verdict in verdicts(tmp_path)] == [verdict["step"] for verdict in first]
