import inspect
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import fsspec
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from scripted import FAILS, MASS, NAN, SRG, AttributionMonitor, Module, fit, loader, trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_explain.checkpoint import AttributionCheckpoint

GATE = f"{MASS} >= 1.5"
OPEN, CLOSED = 2.0, 0.8

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
    assert "[attribution/gate] Not saved at step 12: val_loss is NaN." in caplog.messages


def test_monitored_metric_that_nobody_logs_is_told_before_the_gate_opens(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, monitor="val_los")
    with pytest.warns(UserWarning, match="No metric 'val_los'. Did you mean 'val_loss'") as caught:
        fit(tmp_path, [AttributionMonitor(CLOSED), gated])
    assert len([w for w in caught if "No metric" in str(w.message)]) == 1


# --- metrics that the run logs


def test_gate_on_a_logged_metric(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, gate=[GATE, "val_loss <= 1"], save_top_k=-1)
    fit(tmp_path, [AttributionMonitor(OPEN), gated], Module(None, 2.0, 1.0, None), max_epochs=4)
    assert steps(tmp_path) == [12]
    told = [verdict["sentence"].split(": ", 1)[1] for verdict in verdicts(tmp_path)]
    assert told[0] == "val_loss has no value (nothing has scored or logged it so far), needs <= 1."
    assert told[1] == "val_loss is 2, needs <= 1."
    assert told[3] == "val_loss was not scored at this validation (last scored at step 12), needs <= 1."


def test_a_constant_metric_is_not_stale(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, gate="val_loss <= 1", monitor="val_loss", save_top_k=-1)
    fit(tmp_path, [AttributionMonitor(None), gated], Module(1.0), max_epochs=3)
    assert steps(tmp_path) == [4, 8, 12]


# --- what is told


def events(path: Path) -> EventAccumulator:
    (run,) = {file.parent for file in path.rglob("events.out.tfevents.*")}
    return EventAccumulator(str(run)).Reload()


@pytest.mark.parametrize("own_axis", [False, True])
def test_verdicts_stand_on_the_steps_of_the_validation_curves(tmp_path: Path, own_axis: bool) -> None:
    class OwnAxis(Module):
        def on_validation_epoch_end(self) -> None:
            super().on_validation_epoch_end()
            self.log("step", float(100 * self.validations))

    gated = checkpoint(tmp_path)
    module = OwnAxis(0.5) if own_axis else Module(0.5)
    options = {"val_check_interval": 0.5, "logger": TensorBoardLogger(tmp_path)}
    run = fit(tmp_path, [AttributionMonitor(OPEN, CLOSED, NAN, OPEN), gated], module, **options)
    read = events(tmp_path)
    state = read.Scalars("attribution/gate")
    assert [event.value for event in state] == [1, 0, 0, 1]
    assert [event.step for event in state] == [event.step for event in read.Scalars("val_loss")]
    assert [event.step for event in state] == ([100, 200, 300, 400] if own_axis else [1, 3, 5, 7])
    texts = read.Tensors("attribution/gate/text_summary")
    assert [event.step for event in texts] == [event.step for event in state]
    told = [event.tensor_proto.string_val[0].decode() for event in texts]
    assert told == [verdict["sentence"] for verdict in verdicts(tmp_path)]
    assert run.callback_metrics["attribution/gate"] == 1


def test_verdicts_reach_other_loggers_and_the_console(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        fit(tmp_path, [AttributionMonitor(OPEN, CLOSED), checkpoint(tmp_path)], logger=CSVLogger(tmp_path))
    (table,) = tmp_path.rglob("metrics.csv")
    assert re.search(r"attribution/gate", table.read_text())
    assert f"[attribution/gate] Gate open at step 4: {MASS} is 2.00 ± 0.10 (n = 8), needs >= 1.5." in caplog.messages
    assert f"[attribution/gate] Gate closed at step 8: {MASS} is 0.80 ± 0.10 (n = 8), needs >= 1.5." in caplog.messages


def test_file_of_verdicts(tmp_path: Path) -> None:
    fit(tmp_path, [AttributionMonitor(NAN, OPEN), checkpoint(tmp_path)])
    first, second = verdicts(tmp_path)
    assert first["conditions"][0]["value"] is None
    assert first["sentence"] == f"Gate closed at step 4: {MASS} is NaN for all 8 samples, needs >= 1.5."
    assert (second["open"], second["validation"], second["conditions"][0]["n"]) == (True, 2, 8)
    assert [file.name for file in (tmp_path / "checkpoints").glob("*verdicts*")] == ["gate_verdicts.json"]


def test_file_of_verdicts_is_never_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(tmp_path, [AttributionMonitor(CLOSED), checkpoint(tmp_path)], max_epochs=1)

    def fails(*_: Any) -> NoReturn:
        raise OSError("planted")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fails)
        with pytest.raises(OSError, match="planted"):
            fit(tmp_path, [AttributionMonitor(OPEN), checkpoint(tmp_path)])
    assert len(verdicts(tmp_path)) == 1


@pytest.mark.parametrize("text", ["[1, 2", '{"a": 1}'])
def test_file_of_somebody_else_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "gate_verdicts.json").write_text(text)
    with pytest.raises(
        MisconfigurationException, match=r"Expected a JSON list of verdicts in .*gate_verdicts.json, got"
    ):
        fit(tmp_path, [AttributionMonitor(OPEN), checkpoint(tmp_path)])
    assert (tmp_path / "checkpoints" / "gate_verdicts.json").read_text() == text


def test_remote_directory(tmp_path: Path) -> None:
    gated = AttributionCheckpoint("memory://gated", gate=GATE, save_top_k=-1)
    fit(tmp_path, [AttributionMonitor(OPEN, CLOSED), gated])
    with fsspec.open("memory://gated/gate_verdicts.json") as file:
        assert [verdict["open"] for verdict in json.load(file)] == [True, False]
    files = fsspec.filesystem("memory").ls("gated", detail=False)
    assert sorted(Path(file).name for file in files) == ["epoch=0-step=4.ckpt", "gate_verdicts.json"]


def test_resume(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, monitor="val_loss", save_top_k=2, filename="{step}")
    fit(tmp_path, [AttributionMonitor(OPEN), gated], Module(2.0, 3.0))
    again = checkpoint(tmp_path, monitor="val_loss", save_top_k=2, filename="{step}")
    monitor = AttributionMonitor(OPEN, OPEN, CLOSED, OPEN)
    last = str(tmp_path / "checkpoints" / "step=8.ckpt")
    fit(tmp_path, [monitor, again], Module(0.5, 1.0), max_epochs=4, ckpt_path=last)
    told = [(verdict["validation"], verdict["step"], verdict["open"]) for verdict in verdicts(tmp_path)]
    assert told == [(1, 4, True), (2, 8, True), (3, 12, False), (4, 16, True)]
    assert sorted(float(score) for score in again.best_k_models.values()) == [1.0, 2.0]


def test_a_new_run_begins_without_a_verdict(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, save_last=True, save_on_train_epoch_end=True)
    fit(tmp_path, [AttributionMonitor(OPEN), gated], max_epochs=1)
    fit(tmp_path, [AttributionMonitor(OPEN), gated], max_epochs=1, check_val_every_n_epoch=2)
    assert gated.verdict is None
    assert len(verdicts(tmp_path)) == 1


def test_one_rank_refuses_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def reduced(decision: bool, all: bool = True) -> bool:  # noqa: A002
        asked.append((decision, all))
        return False

    run = trainer(tmp_path, [AttributionMonitor(OPEN), checkpoint(tmp_path)])
    monkeypatch.setattr(run.strategy, "reduce_boolean_decision", reduced)
    run.fit(Module(), loader(), loader())
    assert asked == [(True, True)] * 2
    assert steps(tmp_path) == []
    assert verdicts(tmp_path)[0]["sentence"].endswith("the conditions hold here, but not on every rank.")


# --- several, and wrong ones


def test_two_gates(tmp_path: Path) -> None:
    strict = checkpoint(tmp_path, gate=f"{MASS} >= 3", name="strict", filename="strict", every_n_epochs=1)
    lenient = checkpoint(tmp_path, filename="lenient")
    run = fit(tmp_path, [AttributionMonitor(OPEN), strict, lenient])
    assert [file.stem for file in (tmp_path / "checkpoints").glob("*.ckpt")] == ["lenient"]
    assert (run.callback_metrics["attribution/strict"], run.callback_metrics["attribution/gate"]) == (0, 1)
    assert [verdict["open"] for verdict in verdicts(tmp_path, "strict")] == [False, False]
    keys = {callback.state_key for callback in (strict, lenient, checkpoint(tmp_path, gate="a > 1"))}
    assert len(keys) == 3
    assert all("gate" in key for key in keys)


def test_two_monitors(tmp_path: Path) -> None:
    other = AttributionMonitor(CLOSED, OPEN, name="attribution_2")
    gated = checkpoint(tmp_path, gate=["attribution_2/saliency/srg > 1", GATE], save_top_k=-1)
    run = fit(tmp_path, [AttributionMonitor(OPEN), other, gated])
    assert steps(tmp_path) == [8]
    assert "attribution_2/gate" in run.callback_metrics


def test_unreadable_gate_is_told_at_construction() -> None:
    with pytest.raises(ValueError, match="expected one of >=, <=, >, <"):
        AttributionCheckpoint(gate=["val_acc = 3"])
    with pytest.raises(ValueError, match=r"made of letters, digits and _ \. -, got 'a/b'"):
        AttributionCheckpoint(gate=["val_acc > 3"], name="a/b")
    with pytest.raises(MisconfigurationException, match="save_top_k=-3"):
        AttributionCheckpoint(gate=["val_acc > 3"], save_top_k=-3)
    with pytest.raises(TypeError, match="gate"):
        AttributionCheckpoint()  # type: ignore[call-arg]


@pytest.mark.parametrize("stage", ["setup", "on_fit_start"])
def test_wrong_names_are_told_before_the_training(tmp_path: Path, stage: str) -> None:
    class Late(Module):
        def __init__(self) -> None:
            super().__init__()
            del self.layer

        def configure_model(self) -> None:
            self.layer = torch.nn.Linear(3, 2)

    gated = checkpoint(
        tmp_path, gate=["attribution/saliency/relevance_mas >= 1", "attribution/x/srg > 0", "val_acc > 0"]
    )
    with pytest.raises(MisconfigurationException) as caught:
        fit(tmp_path, [AttributionMonitor(OPEN), gated], Module() if stage == "setup" else Late())
    assert f"Did you mean '{MASS}'? Known: {MASS}, {SRG}" in str(caught.value)
    assert "attribution/x/srg > 0" in str(caught.value)
    assert "val_acc" not in str(caught.value)


def test_no_monitor(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="add an AttributionMonitor to the callbacks"):
        fit(tmp_path, [checkpoint(tmp_path)])


def test_same_name_twice(tmp_path: Path) -> None:
    twice = [checkpoint(tmp_path), checkpoint(tmp_path, gate="val_loss < 1")]
    with pytest.raises(MisconfigurationException, match="Two gates of this trainer are called 'gate'"):
        fit(tmp_path, [AttributionMonitor(OPEN), *twice])


def test_a_slip_in_the_monitors_name_is_suspected(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, gate="attributions/saliency/srg > 1")
    with pytest.warns(UserWarning, match=f"Did you mean '{SRG}'"):
        fit(tmp_path, [AttributionMonitor(OPEN), gated])
    assert steps(tmp_path) == []


def test_a_run_without_validation_is_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="no validation, so the gate .* will never open"):
        fit(tmp_path, [AttributionMonitor(OPEN), checkpoint(tmp_path, save_last=True)], limit_val_batches=0)
    assert steps(tmp_path) == []
