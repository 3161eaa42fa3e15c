import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import fsspec
import pytest
import runs
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from processes import TwoProcesses
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

from lightning_explain import AttributionMonitor as RealMonitor
from lightning_explain.checkpoint import AttributionCheckpoint
from lightning_explain.stopping import AttributionStopping

# --- metrics that the run logs


@pytest.mark.filterwarnings("ignore:The gate asks for .val_loss., which the run has not logged so far")
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


# --- random, intervals, the best so far, several validations


def opened(path: Path) -> list[bool]:
    return [verdict["open"] for verdict in verdicts(path)]


@pytest.mark.parametrize(
    ("gate", "held"),
    [
        (f"{SRG} > random", [True, True, False]),
        (f"lower({SRG}) > random", [True, False, False]),
        (f"{SRG} > random + 0.5", [True, False, False]),
        (f"{SRG} > upper(random)", [True, False, False]),
        (f"upper({SRG}) > 2 * random or {SRG} > 1.9", [True, False, False]),
        (f"{SRG} > random for 2 validations", [False, True, False]),
        (f"({SRG} > random and {MASS} >= best) for 2 validations", [False, False, False]),
        (f"{SRG} > random and val_loss <= 0.5", [False, True, False]),
    ],
)
def test_language_in_a_run(tmp_path: Path, gate: str, held: list[bool]) -> None:
    gated = checkpoint(tmp_path, gate=gate, save_top_k=-1)
    fit(tmp_path, [AttributionMonitor(2.0, 1.1, 0.9, random=1.0), gated], Module(0.6, 0.5), max_epochs=3)
    assert opened(tmp_path) == held
    assert steps(tmp_path) == [step for step, was in zip((4, 8, 12), held, strict=True) if was]


@pytest.mark.parametrize("kind", [AttributionCheckpoint, AttributionStopping])
def test_a_metric_that_nobody_logs_is_told_once(tmp_path: Path, kind: type) -> None:
    with pytest.warns(UserWarning, match="the run has not logged so far") as caught:
        fit(tmp_path, [AttributionMonitor(OPEN), kind(gate=f"val_los < 0.5 and {MASS} > 0 and val_loss < 9")])
    told = [str(warning.message) for warning in caught if "not logged so far" in str(warning.message)]
    assert len(told) == 1
    assert "The gate asks for 'val_los', which" in told[0]
    assert "Did you mean 'val_loss'?" in told[0]


def test_the_random_line_is_that_of_this_validation(tmp_path: Path) -> None:
    monitor = AttributionMonitor(2.0, None, random=1.0)
    fit(tmp_path, [monitor, checkpoint(tmp_path, gate=f"{SRG} > random")])
    first, second = verdicts(tmp_path)
    assert first["conditions"][0]["reference"] == 1.0
    assert first["sentence"] == f"Gate open at step 4: {SRG} is 2.00 ± 0.10 (n = 8), needs > random, which is 1.00."
    assert second["conditions"][0]["scored"] is False
    assert second["sentence"].endswith("(last scored at step 4), needs > random.")


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (f"{MASS} > random", rf"'random' of scores without a random line.\n.*Known: {SRG}"),
        ("lower(val_loss) < 1", r"of a metric that the run logs: lower\(val_loss\) < 1\. Only scores of an"),
        ("val_loss < random", "of a metric that the run logs: val_loss < random"),
        ("val_loss < best + 1", "of a metric that the run logs: val_loss < best"),
        ("attributions/saliency/srg > random", f"Did you mean '{SRG}'"),
    ],
)
@pytest.mark.parametrize("kind", [AttributionCheckpoint, AttributionStopping])
def test_what_cannot_be_compared_is_told_before_the_training(
    tmp_path: Path, gate: str, message: str, kind: type[Callback]
) -> None:
    with pytest.raises(MisconfigurationException, match=message):
        fit(tmp_path, [AttributionMonitor(OPEN, random=1.0), kind(gate=gate)])


def test_best_and_streaks_survive_a_resume(tmp_path: Path) -> None:
    gate = f"({SRG} >= best - 0.1) for 3 validations"

    def callbacks(*script: float) -> tuple[list[Callback], AttributionStopping, AttributionCheckpoint]:
        stopping = AttributionStopping(gate, patience=9)
        gated = checkpoint(tmp_path, gate=gate, save_top_k=-1)
        return [AttributionMonitor(*script), stopping, gated, ModelCheckpoint(tmp_path, "saved")], stopping, gated

    script = (2.0, 2.5, 2.45, 2.35, 2.6, 2.6, 2.6)
    begun, _, gated = callbacks(*script)
    fit(tmp_path, begun, max_epochs=2)
    state = torch.load(tmp_path / "saved.ckpt", weights_only=True)["callbacks"]
    kept = {"best": {SRG: 2.5}, "streaks": {f"{SRG} >= best - 0.1": 2}}
    assert state[gated.state_key]["history"] == kept
    assert [value["history"] for key, value in state.items() if key.startswith("AttributionStopping")] == [kept]

    resumed, stopping, gated = callbacks(*script)
    fit(tmp_path, resumed, max_epochs=7, ckpt_path=tmp_path / "saved.ckpt")
    assert opened(tmp_path) == [False, False, True, False, False, False, True]
    assert verdicts(tmp_path)[2]["sentence"] == (
        f"Gate open at step 12: {SRG} is 2.45 ± 0.10 (n = 8), needs >= best - 0.1, which is 2.50 - 0.1 = 2.40,"
        " held for 3 of 3 validations."
    )
    assert gated.judge.history == stopping.judge.history
    assert stopping.judge.history.best == {SRG: 2.6}


def test_a_checkpoint_from_before_there_was_a_history(tmp_path: Path) -> None:
    for callback in (checkpoint(tmp_path), AttributionStopping(GATE)):
        state = callback.state_dict()
        assert state.pop("history") == {"best": {}, "streaks": {}}
        callback.load_state_dict(state)
        assert callback.judge.history.best == {}


def test_the_same_trainer_goes_on_with_its_best(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, gate=f"{SRG} >= best for 2 validations", save_top_k=-1)
    module = Module()
    run = fit(tmp_path, [AttributionMonitor(2.0, 2.5, 2.4), gated], module, max_epochs=2)
    run.fit_loop.max_epochs = 3
    run.fit(module, loader(), loader())
    assert gated.verdict is not None
    assert "needs >= best, which is 2.50, held for 0 of 2" in gated.verdict.sentence


def test_a_new_run_has_no_best(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, gate=f"{SRG} >= best for 2 validations", save_top_k=-1)
    fit(tmp_path, [AttributionMonitor(OPEN), gated])
    assert gated.verdict.open
    fit(tmp_path, [AttributionMonitor(CLOSED), gated], max_epochs=1)
    assert "is the first, nothing to compare with (needs >= best), held for 1 of 2" in gated.verdict.sentence


class Disagreeing(AttributionMonitor):
    """On rank 1 the first validation has no score, the third one a low score and the fifth one a high score."""

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_epoch_end(trainer, pl_module)
        other = {1: NAN, 3: CLOSED, 5: 9.0}.get(self.validations)
        if other is not None and trainer.global_rank == 1:
            scores = {name: replace(score, mean=other) for name, score in self.report.scores.items()}
            self.report = replace(self.report, scores=scores)


class Remembered(Callback):
    """Writes what each rank's gate remembers."""

    def __init__(self, path: Path, gated: AttributionCheckpoint) -> None:
        self.path, self.gated = path, gated

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        history = self.gated.judge.history.to_dict()
        (self.path / f"rank_{trainer.global_rank}.json").write_text(json.dumps(history))


def test_ranks_remember_the_same(tmp_path: Path) -> None:
    gated = checkpoint(tmp_path, gate=f"{SRG} >= best - 0.1 and {MASS} >= 1.5 for 2 validations", save_top_k=-1)
    callbacks = [Disagreeing(2.0, 2.2, 2.3, 2.4, 2.5), gated, Remembered(tmp_path, gated)]
    fit(tmp_path, callbacks, devices=2, strategy=TwoProcesses(), max_epochs=5)
    assert opened(tmp_path) == [False, False, False, False, True]
    told = [verdict["sentence"] for verdict in verdicts(tmp_path)]
    assert told[2] == "Gate closed at step 6: the conditions hold here, but not on every rank."
    assert all(told[i].endswith("needs >= 1.5, held for 1 of 2 validations.") for i in (0, 1, 3))
    first, second = (json.loads((tmp_path / f"rank_{rank}.json").read_text()) for rank in (0, 1))
    assert first == second == {"best": {SRG: 2.5}, "streaks": {f"{MASS} >= 1.5": 2}}


@pytest.mark.filterwarnings("ignore:The trainer has no logger")
class TestWithTheRealMonitor:
    def run(self, path: Path, gate: str | list[str], **settings: Any) -> tuple[AttributionCheckpoint, RealMonitor]:
        methods = ["saliency", "grad_cam@net.conv2", "input_x_gradient@net.conv1"]
        monitor = RealMonitor(runs.probe(), methods, ["srg", "drift", "relevance_mass"])
        gated = AttributionCheckpoint(path / "checkpoints", gate=gate)
        runs.fit(path, monitor, gated, enable_checkpointing=True, **({"max_epochs": 2} | settings))
        return gated, monitor

    def test_random_is_the_line_of_the_same_place(self, tmp_path: Path) -> None:
        names = ("saliency", "grad_cam@net.conv2", "input_x_gradient@net.conv1")
        gated, monitor = self.run(tmp_path, [f"attribution/{name}/srg > random or val_acc >= 2" for name in names])
        lines = {"saliency": "random", "grad_cam@net.conv2": "random", "input_x_gradient@net.conv1": "random@net.conv1"}
        assert gated.verdict is not None
        for reason in gated.verdict.reasons[::2]:
            line = lines[reason.score.split("/")[1]]
            assert monitor.report.scores[f"attribution/{line}/srg"].mean == reason.reference == reason.threshold

    def test_interval_and_best_of_real_scores(self, tmp_path: Path) -> None:
        score = "attribution/saliency/relevance_mass"
        gated, _ = self.run(tmp_path, [f"lower({score}) > 0", f"upper({score}) < 99", f"{score} >= best - 99"])
        low, _, best = gated.verdict.reasons
        assert low.low < low.value < low.high
        assert best.reference is not None
        assert gated.verdict.open
        assert "upper end < 99" in gated.verdict.sentence

    @pytest.mark.parametrize(
        ("gate", "message"),
        [
            ("attribution/saliency/drift < best", r"neither direction is better.\n.*No direction of"),
            ("attribution/saliency/drift < random", "'random' of scores without a random line"),
            ("attribution/random/srg < random", "'random' of scores without a random line"),
        ],
    )
    def test_what_has_no_direction_or_line(self, tmp_path: Path, gate: str, message: str) -> None:
        with pytest.raises(MisconfigurationException, match=message):
            self.run(tmp_path, gate, max_epochs=1)
