"""The scripts of ``examples/``, run as users run them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(script, cwd, *arguments):
    # One thread: two that wait for each other are slow where other tests run beside them.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(EXAMPLES / script), *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_quickstart_is_short_and_saves_a_checkpoint(tmp_path):
    code = [line for line in (EXAMPLES / "example_quickstart.py").read_text().splitlines() if line.strip()]
    assert len(code) <= 15
    assert "Gate open" in run("example_quickstart.py", tmp_path)
    assert len(list(tmp_path.rglob("*.ckpt"))) == 1


@pytest.mark.parametrize(("options", "gate", "saved"), [((), "Gate closed", 0), (("--honest",), "Gate open", 1)])
def test_the_shortcut_is_refused_and_the_honest_model_saved(tmp_path, options, gate, saved):
    printed = run("example_shortcut.py", tmp_path, "--epochs", "2", "--out", "logs", *options)
    assert gate in printed
    assert len(list((tmp_path / "logs").rglob("*.ckpt"))) == saved
    assert len(list((tmp_path / "logs").rglob("events.out.tfevents.*"))) == 1
