import runpy
import subprocess
import sys
from importlib.metadata import version

import pytest

from lightning_explain import cli
from lightning_explain.cli import main


def leave(capsys, *arguments):
    with pytest.raises(SystemExit, match=r"^[02]$") as left:
        main(arguments)
    printed = capsys.readouterr()
    return left.value.code, printed.out, printed.err


def test_version(capsys):
    code, out, _ = leave(capsys, "--version")
    assert (code, out.split()) == (0, ["lightning-explain", version("lightning-explain")])


def test_help_names_the_commands(capsys):
    code, out, _ = leave(capsys, "--help")
    assert code == 0
    assert "demo" in out
    assert "about a minute" in out


def test_help_of_the_demo_names_options_and_defaults(capsys):
    code, out, _ = leave(capsys, "demo", "--help")
    assert code == 0
    for option in ("--out", "--epochs", "--seed", "--overwrite", "runs/demo"):
        assert option in out


def test_a_command_is_required(capsys):
    code, _, err = leave(capsys)
    assert code == 2
    assert "command" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demos"], "invalid choice: 'demos'"),
        (["demo", "--epochs", "0"], "expected a whole number from 1 up, got '0'"),
        (["demo", "--epochs", "two"], "expected a whole number from 1 up, got 'two'"),
        (["demo", "--seed", "-1"], "expected a whole number from 0 to 4294967295, got '-1'"),
        (["demo", "--seed", str(2**32)], "expected a whole number from 0 to 4294967295"),
    ],
)
def test_wrong_arguments(capsys, arguments, message):
    code, _, err = leave(capsys, *arguments)
    assert code == 2
    assert message in err


def test_missing_extra_says_how_to_install_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == "mlxtend" else object())
    code, _, err = leave(capsys, "demo", "--out", str(tmp_path / "demo"))
    assert code == 2
    assert "the demo needs mlxtend: pip install 'lightning-explain[demo]'" in err
    assert not (tmp_path / "demo").exists()


def test_out_is_a_file(capsys, tmp_path):
    (tmp_path / "taken").write_text("mine")
    code, _, err = leave(capsys, "demo", "--out", str(tmp_path / "taken"))
    assert code == 2
    assert "is a file; give a directory" in err
    assert (tmp_path / "taken").read_text() == "mine"


def test_out_holds_an_earlier_run(capsys, tmp_path):
    (tmp_path / "shortcut").mkdir()
    (tmp_path / "shortcut" / "events.out.tfevents.1").touch()
    code, _, err = leave(capsys, "demo", "--out", str(tmp_path))
    assert code == 2
    assert "--overwrite" in err


def test_help_loads_neither_torch_nor_lightning():
    code = (
        "import sys; from lightning_explain.cli import main\n"
        "try: main(['demo', '--help'])\n"
        "except SystemExit: print('loaded:', *{'torch', 'lightning', 'rich', 'numpy'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].strip() == "loaded:"


def test_runs_as_a_module(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["lightning_explain", "--version"])
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_module("lightning_explain", run_name="__main__")
    assert version("lightning-explain") in capsys.readouterr().out
