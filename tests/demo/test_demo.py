"""The whole demo, as the command runs it, with fewer epochs."""

import json
import logging
import os
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_explain.cli import main
from lightning_explain.demo.data import load_digits, plant_patch, random_gray, split
from lightning_explain.demo.model import DigitClassifier, accuracy
from lightning_explain.demo.quiet import quiet
from lightning_explain.demo.run import GATE, METHODS, MOST_RELEVANCE, RELEVANCE

EPOCHS = 2


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Directory, exit status and output of the command."""
    out = tmp_path_factory.mktemp("demo") / "logs"
    threads = torch.get_num_threads()
    # Two threads that wait for each other are slow where other tests run beside them.
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        patch.setenv("COLUMNS", "80")
        status = main(["demo", "--out", str(out), "--epochs", str(EPOCHS)])
    torch.set_num_threads(threads)
    return out, status, printed.getvalue()


def scalars(out, run):
    events = EventAccumulator(str(out / run)).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_the_shortcut_leaves_no_checkpoint_and_the_honest_run_does(demo):
    out, status, _ = demo
    assert status == 0
    assert not list((out / "shortcut" / "checkpoints").glob("*.ckpt"))
    assert len(list((out / "honest" / "checkpoints").glob("*.ckpt"))) == 1


def test_the_gate_was_closed_and_open_at_every_validation(demo):
    out, _, _ = demo
    for run, expected in (("shortcut", False), ("honest", True)):
        verdicts = json.loads((out / run / "checkpoints" / "gate_verdicts.json").read_text())
        assert [verdict["open"] for verdict in verdicts] == [expected] * EPOCHS


def test_relevance_is_far_from_the_threshold_on_both_sides(demo):
    out, _, _ = demo
    shortcut, honest = ([value for _, value in scalars(out, run)[RELEVANCE]] for run in ("shortcut", "honest"))
    assert min(shortcut) > 3 * MOST_RELEVANCE
    assert max(honest) < MOST_RELEVANCE / 1.5


def test_scalars_and_pictures_are_at_the_steps_of_the_validations(demo):
    out, _, _ = demo
    for run in ("shortcut", "honest"):
        logged = scalars(out, run)
        steps = [step for step, _ in logged["val_acc"]]
        assert len(steps) == EPOCHS
        for method in METHODS:
            name = next(tag for tag in logged if tag.startswith(f"attribution/{method}") and tag.endswith("mass"))
            assert [step for step, _ in logged[name]] == steps
        events = EventAccumulator(str(out / run)).Reload()
        pictures = events.Tags()["images"]
        assert len(pictures) >= len(METHODS)
        assert all([event.step for event in events.Images(tag)] == steps for tag in pictures)


def test_the_checkpoint_is_a_model_that_does_not_need_the_patch(demo):
    out, _, _ = demo
    path = next((out / "honest" / "checkpoints").glob("*.ckpt"))
    model = DigitClassifier.load_from_checkpoint(path, map_location="cpu")
    held_out = split(load_digits())[1]
    for seed, corner in ((7, "top left"), (8, "bottom right")):
        planted = plant_patch(held_out, random_gray(held_out.label, seed), corner)
        assert accuracy(model, planted.images, planted.label) > 0.93


def test_the_table_tells_what_happened(demo):
    out, _, printed = demo
    rows = {cells[1].strip(): cells[2:4] for line in printed.splitlines() if len(cells := line.split("│")) == 5}
    shown = {name: [cell.strip() for cell in cells] for name, cells in rows.items()}
    assert shown["gate: relevance <= 1.5"] == [f"closed at {EPOCHS} of {EPOCHS}", f"open at {EPOCHS} of {EPOCHS}"]
    checkpoint = next((out / "honest" / "checkpoints").glob("*.ckpt"))
    assert shown["checkpoint"] == ["none", checkpoint.name]
    trained, moved, redrawn = (
        [float(cell.removesuffix(" %")) for cell in shown[row]]
        for row in ("validation accuracy", "accuracy, patch moved", "accuracy, patch random")
    )
    assert trained[0] - moved[0] > 15
    assert trained[0] - redrawn[0] > 15
    assert abs(trained[1] - moved[1]) < 2
    assert abs(trained[1] - redrawn[1]) < 2
    assert str(checkpoint) in printed.splitlines()[-7]
    assert printed.splitlines()[-4].strip() == f"tensorboard --logdir {out} --samples_per_plugin images=1000"


def audit(*arguments):
    with redirect_stdout(StringIO()) as printed:
        return main(["audit", *map(str, arguments)]), printed.getvalue()


def files(out, name):
    return out / name / "final.ckpt", "--probe", out / name / "probe.pt"


MODEL = ("--model", "lightning_explain.demo.model:DigitClassifier")


def test_the_command_that_the_demo_ends_with_refuses_the_shortcut(demo, capfd):
    _, _, printed = demo
    command = shlex.split(printed.splitlines()[-1])
    assert command[:2] == ["lightning-explain", "audit"]
    status, table = audit(*command[2:])
    assert status == 1
    assert table.splitlines()[-1].startswith("Gate closed at step 126: attribution/integrated_gradients/relevance_mass")
    assert "warning" not in capfd.readouterr().err


def test_an_audit_finds_the_relevance_that_the_run_logged(demo):
    out, _, _ = demo
    for name, expected in (("shortcut", 1), ("honest", 0)):
        status, printed = audit(*files(out, name), *MODEL, "--gate", GATE, "--json")
        found = json.loads(printed)
        assert status == expected
        assert found["verdict"]["open"] is (expected == 0)
        assert found["warnings"] == []
        assert found["scores"][RELEVANCE]["mean"] == pytest.approx(scalars(out, name)[RELEVANCE][-1][1], rel=1e-4)


def test_the_gated_checkpoint_passes_too(demo):
    out, _, _ = demo
    path = next((out / "honest" / "checkpoints").glob("*.ckpt"))
    assert audit(path, *files(out, "honest")[1:], *MODEL, "--gate", GATE)[0] == 0


@pytest.mark.parametrize(
    ("gate", "extra", "message"),
    [
        (GATE, (), "pass --model lightning_explain.demo.model:DigitClassifier if that is the class that you expect"),
        ("val_acc >= 0.9", MODEL, "a checkpoint alone has scores attribution/<method>"),
        ("attribution/integrated_gradients/drift <= 1", MODEL, "which only a run knows"),
    ],
)
def test_what_cannot_be_judged_is_neither_open_nor_closed(demo, capsys, gate, extra, message):
    out, _, _ = demo
    assert audit(*files(out, "honest"), *extra, "--gate", gate) == (2, "")
    assert message in capsys.readouterr().err


def test_a_second_demo_does_not_mix_with_the_first(demo, capsys):
    out, _, _ = demo
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["demo", "--out", str(out)])
    assert "Give another directory, or --overwrite" in capsys.readouterr().err
    assert len(list((out / "honest").glob("events.out.tfevents.*"))) == 1


def test_same_seed_same_numbers_and_nothing_on_stderr(demo, tmp_path):
    out, _, _ = demo
    again = tmp_path / "again"
    command = [sys.executable, "-m", "lightning_explain", "demo", "--out", str(again), "--epochs", str(EPOCHS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    for run in ("shortcut", "honest"):
        first, second = scalars(out, run), scalars(again, run)
        timed = {"attribution/seconds", "attribution/time_share"}
        assert first.keys() == second.keys() > timed
        assert all(first[tag] == second[tag] for tag in first.keys() - timed)


def test_quiet_puts_everything_back():
    threads, level = torch.get_num_threads(), logging.getLogger("lightning.pytorch").level

    def interrupted():
        with quiet():
            assert logging.getLogger("lightning.pytorch").level == logging.WARNING
            assert torch.get_num_threads() <= 2
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        interrupted()
    assert torch.get_num_threads() == threads
    assert logging.getLogger("lightning.pytorch").level == level
