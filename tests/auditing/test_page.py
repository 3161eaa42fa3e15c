"""``docs/audit.md`` says what is true."""

import re
import shutil
from argparse import ArgumentParser
from pathlib import Path

import pytest

from lightning_explain import cli

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n")[0])
def test_code_runs(block, watched_run, tmp_path, monkeypatch, capsys):
    folder, *_ = watched_run
    shutil.copy(folder / "final.ckpt", tmp_path / "last.ckpt")
    shutil.copy(folder / "probe.pt", tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(block.replace("my_package.model:Classifier", "runs:Module"), {})
    assert capsys.readouterr().out.startswith("Gate ")


def test_every_option_is_in_the_table():
    parser = ArgumentParser()
    cli._add_audit_options(parser)
    options = [name for action in parser._actions for name in action.option_strings if name not in {"-h", "--help"}]
    documented = set(re.findall(r"^\| `(--[\w-]+)", PAGE, re.MULTILINE))
    assert documented == {*options, "--gate"}


def test_every_status_is_in_the_table():
    assert re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE) == re.findall(r"^  (\d)  ", cli._AUDIT_EPILOG, re.MULTILINE)
