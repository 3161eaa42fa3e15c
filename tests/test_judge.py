import json
import re
from pathlib import Path
from typing import Any, NoReturn

import fsspec
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from scripted import (
    CLOSED,
    GATE,
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
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_explain.checkpoint import AttributionCheckpoint

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


def test_a_new_run_is_checked_again(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path)
    fit(tmp_path, [AttributionMonitor(OPEN), gated], max_epochs=1)
    other = AttributionMonitor(OPEN)
    other.score_names = lambda *_: (SRG,)  # type: ignore[method-assign]
    with pytest.raises(MisconfigurationException, match="will not exist"):
        fit(tmp_path, [other, gated], max_epochs=1)


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
    with pytest.raises(MisconfigurationException, match=f"Did you mean '{SRG}'"):
        fit(tmp_path, [AttributionMonitor(OPEN), gated])
    assert steps(tmp_path) == []


def test_a_run_without_validation_is_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="no validation, so the gate .* will never open"):
        fit(tmp_path, [AttributionMonitor(OPEN), checkpoint(tmp_path, save_last=True)], limit_val_batches=0)
    assert steps(tmp_path) == []
