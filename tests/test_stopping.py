from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from scripted import CLOSED, FAILS, GATE, MASS, NAN, OPEN, AttributionMonitor, Module, fit, loader, trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_explain.checkpoint import AttributionCheckpoint
from lightning_explain.stopping import AttributionStopping


def run(path: Path, stopping: AttributionStopping, *script: Any, **options: Any) -> Trainer:
    return fit(path, [AttributionMonitor(*script), stopping], **({"max_epochs": 8} | options))


@pytest.mark.parametrize(
    ("script", "options", "epochs"),
    [
        ([CLOSED], {}, 3),
        ([CLOSED], {"patience": 1}, 1),
        ([OPEN], {"patience": 1}, 8),
        ([CLOSED, CLOSED, OPEN, CLOSED], {}, 6),
        ([NAN], {"patience": 2}, 2),
        ([CLOSED, None, CLOSED, None, None, CLOSED, OPEN], {}, 6),
        ([CLOSED, FAILS, CLOSED, OPEN], {"patience": 2}, 3),
        ([None], {"patience": 1}, 8),
        ([CLOSED], {"patience": 2, "min_validations": 3}, 5),
        ([CLOSED, None, CLOSED, OPEN, CLOSED], {"patience": 2, "min_validations": 2}, 6),
    ],
)
def test_patience(tmp_path: Path, script: list[Any], options: dict[str, int], epochs: int) -> None:
    stopping = AttributionStopping([GATE], **options)
    trained = run(tmp_path, stopping, *script)
    assert trained.global_step == 4 * epochs
    assert stopping.stopped_epoch == (epochs - 1 if epochs < 8 else 0)
    assert (stopping.stopping_reason_message is None) == (epochs == 8)


def test_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stopping = AttributionStopping(GATE, patience=2, verbose=True)
    with caplog.at_level("INFO"):
        run(tmp_path, stopping, OPEN, CLOSED)
    sentence = f"Gate closed at step 12: {MASS} is 0.80 ± 0.10 (n = 8), needs >= 1.5."
    reason = f"The gate was closed at the last 2 validations in a row. {sentence} Training is stopped."
    assert stopping.stopping_reason_message == reason
    told = [message for message in caplog.messages if "[attribution/stopping]" in message]
    assert [message.split(": ")[0] for message in told] == [
        "[attribution/stopping] Gate open at step 4",
        "[attribution/stopping] Gate closed at step 8",
        "[attribution/stopping] Gate closed at step 12",
        "[attribution/stopping] The gate was closed at the last 2 validations in a row. Gate closed at step 12",
    ]


def test_quiet_unless_verbose(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        run(tmp_path, AttributionStopping(GATE, patience=1), CLOSED)
    assert [message for message in caplog.messages if "attribution/stopping" in message] == [
        f"[attribution/stopping] The gate was closed at the last validation. Gate closed at step 4: "
        f"{MASS} is 0.80 ± 0.10 (n = 8), needs >= 1.5. Training is stopped."
    ]


def test_count_is_logged_on_the_steps_of_the_validation_curves(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    script = (CLOSED, OPEN, None, CLOSED, CLOSED)
    trained = run(tmp_path, AttributionStopping(GATE, patience=9), *script, max_epochs=5, logger=logger)
    read = EventAccumulator(logger.log_dir).Reload()
    counted = [(event.step, event.value) for event in read.Scalars("attribution/stopping")]
    curve = [event.step for event in read.Scalars("val_loss")]
    assert counted == [(curve[0], 1), (curve[1], 0), (curve[3], 1), (curve[4], 2)]
    assert trained.callback_metrics["attribution/stopping"] == 2


def test_several_validations_an_epoch(tmp_path: Path) -> None:
    trained = run(tmp_path, AttributionStopping(GATE, patience=3), CLOSED, val_check_interval=0.5)
    assert trained.global_step == 6


def test_sanity_check_and_validate_do_not_count(tmp_path: Path) -> None:
    stopping = AttributionStopping(GATE, patience=1)
    trained = run(tmp_path, stopping, OPEN, num_sanity_val_steps=1, max_epochs=1)
    trained.validate(Module(), loader(), verbose=False)
    assert stopping.judged == 1
    alone = AttributionStopping(GATE, patience=1)
    trainer(tmp_path, [AttributionMonitor(CLOSED), alone]).validate(Module(), loader(), verbose=False)
    assert (alone.judged, alone.verdict) == (0, None)


def test_sanity_check_does_not_count_for_logged_metrics(tmp_path: Path) -> None:
    stopping = AttributionStopping("val_loss < 1", patience=1)
    fit(tmp_path, [AttributionMonitor(None), stopping], Module(0.5), max_epochs=1, num_sanity_val_steps=1)
    assert (stopping.judged, stopping.wait_count) == (1, 0)


def test_fast_dev_run_does_not_stop(tmp_path: Path) -> None:
    stopping = AttributionStopping(GATE, patience=1)
    trained = run(tmp_path, stopping, CLOSED, fast_dev_run=2)
    assert stopping.judged == 1
    assert trained.global_step == 2
    assert stopping.stopping_reason_message is None


def test_a_gate_on_logged_metrics_counts_every_validation(tmp_path: Path) -> None:
    stopping = AttributionStopping("val_loss < 1", patience=3)
    trained = fit(tmp_path, [AttributionMonitor(None), stopping], Module(0.5, 3.0, 2.0, 1.0), max_epochs=8)
    assert trained.global_step == 16


def test_resume(tmp_path: Path) -> None:
    def callbacks() -> list[Any]:
        return [AttributionMonitor(CLOSED), AttributionStopping(GATE, patience=3), ModelCheckpoint(tmp_path, "saved")]

    fit(tmp_path, callbacks(), max_epochs=2)
    state = torch.load(tmp_path / "saved.ckpt", weights_only=True)["callbacks"]
    (saved,) = [value for key, value in state.items() if key.startswith("AttributionStopping")]
    counts = {"judged": 2, "wait_count": 2, "stopped_epoch": 0, "stopping_reason_message": None}
    assert saved == counts | {"history": {"best": {}, "streaks": {}}}
    assert fit(tmp_path, callbacks(), max_epochs=8, ckpt_path=tmp_path / "saved.ckpt").global_step == 12


def test_a_second_fit_counts_anew(tmp_path: Path) -> None:
    stopping = AttributionStopping(GATE, patience=2)
    assert fit(tmp_path, [AttributionMonitor(CLOSED), stopping], max_epochs=8).global_step == 8
    assert fit(tmp_path, [AttributionMonitor(OPEN, CLOSED, OPEN), stopping], max_epochs=3).global_step == 12
    assert (stopping.judged, stopping.wait_count, stopping.stopped_epoch) == (3, 0, 0)
    assert stopping.stopping_reason_message is None


def test_all_ranks_count_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = AttributionStopping(GATE, patience=2)
    trained = trainer(tmp_path, [AttributionMonitor(OPEN), stopping], max_epochs=8)
    monkeypatch.setattr(trained.strategy, "reduce_boolean_decision", lambda decision, all=True: False)  # noqa: A006
    trained.fit(Module(), loader(), loader())
    assert trained.global_step == 8
    assert "not on every rank" in str(stopping.stopping_reason_message)


def test_beside_a_gated_checkpoint(tmp_path: Path) -> None:
    gated = AttributionCheckpoint(tmp_path, gate=GATE)
    stopping = AttributionStopping(GATE, patience=2)
    trained = fit(tmp_path, [AttributionMonitor(OPEN, CLOSED), stopping, gated], max_epochs=8)
    assert trained.global_step == 12
    assert Path(gated.best_model_path).name == "epoch=0-step=4.ckpt"


def test_keys_differ() -> None:
    keys = {AttributionStopping(gate, name=name).state_key for gate in ("a > 1", "a > 2") for name in ("x", "y")}
    assert len(keys) == 4


@pytest.mark.parametrize("options", [{"patience": 0}, {"min_validations": -1}])
def test_wrong_numbers(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="Expected patience >= 1 and min_validations >= 0, got"):
        AttributionStopping(GATE, **options)


def test_wrong_gates(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Cannot read the condition"):
        AttributionStopping("val_acc")
    with pytest.raises(MisconfigurationException, match="add an AttributionMonitor"):
        fit(tmp_path, [AttributionStopping(GATE)])
    with pytest.raises(MisconfigurationException, match="scores that will not exist"):
        run(tmp_path, AttributionStopping("attribution/saliency/mass > 1"), OPEN)
    gated = AttributionCheckpoint(tmp_path, gate=GATE, name="stopping")
    with pytest.raises(MisconfigurationException, match="called 'stopping'"):
        fit(tmp_path, [AttributionMonitor(OPEN), gated, AttributionStopping(GATE)])
