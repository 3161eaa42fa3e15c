import json
import os
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


AUDIT = ("audit", "{0}/final.ckpt", "--probe", "{0}/probe.pt")
MODEL = ("--model", "runs:Module")
MASS, SRG = "attribution/saliency/relevance_mass", "attribution/saliency/srg"


def audit(capsys, folder, *arguments):
    """Status, output and errors of the command; ``{0}`` stands for the folder."""
    status = main([argument.format(folder) for argument in arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_the_status_is_the_verdict(watched_run, capsys):
    folder, *_ = watched_run
    status, out, err = audit(capsys, folder, *AUDIT, *MODEL, "--gate", f"{MASS} >= 0")
    assert (status, err) == (0, "")
    assert "Gate open" in out
    status, out, _ = audit(capsys, folder, *AUDIT, *MODEL, "--gate", f"{MASS} >= 0", "--gate", f"{SRG} >= 2")
    assert status == 1
    assert "needs >= 2" in out


@pytest.mark.parametrize("validations", [1, 2, 3])
def test_what_the_gate_of_the_run_remembers_is_asked(watched_run, capsys, validations):
    folder, *_ = watched_run
    gate = f"{SRG} >= best - 3 and {SRG} >= -2 for {validations} validations"
    assert audit(capsys, folder, *AUDIT, *MODEL, "--gate", gate)[0] == (validations == 3)


def test_json_alone_is_on_stdout_and_strict(watched_run, capsys):
    folder, _, report = watched_run
    status, out, _ = audit(capsys, folder, *AUDIT, "--model", "loud:Module", "--gate", f"{MASS} >= 0", "--json")
    told = json.loads(out, parse_constant=lambda name: pytest.fail(name))
    assert status == 0
    assert told["verdict"]["open"] is True
    assert told["scores"][MASS]["mean"] == pytest.approx(report.scores[MASS].mean, abs=1e-6)
    assert len(told["scores"][MASS]["per_sample"]) == 6
    assert (told["settings"]["max_rows"], told["warnings"]) == (64, [])  # the rows are those of the run


def test_what_differs_from_the_run_is_told(watched_run, capsys):
    folder, *_ = watched_run
    gate = ("--gate", "attribution/input_x_gradient/srg >= -2", "--seed", "3", "--json")
    status, out, err = audit(capsys, folder, *AUDIT, *MODEL, *gate)
    assert status == 0
    assert json.loads(out)["warnings"] == [
        "The run did not have the method input_x_gradient; it had saliency.",
        "The run's seed was 0, here it is 3.",
    ]
    assert err.splitlines()[1] == "warning: The run's seed was 0, here it is 3."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"1": "{0}/nothing.ckpt"}, "There is no file {0}/nothing.ckpt"),
        ({"1": "{0}"}, "There is no file {0} to read a checkpoint from"),
        ({"1": "{0}/probe.pt"}, "holds a dictionary without Lightning's entries"),
        ({"3": "{0}/nothing.pt"}, "There is no file {0}/nothing.pt"),
        ({"3": "{0}/final.ckpt"}, "holds no probe set"),
        ({"5": f"{MASS} > > 0"}, "Cannot read the condition"),
        ({"5": "val_acc >= 0"}, "a checkpoint alone has scores"),
        ({"5": "attribution/x/srg >= 0"}, "No attribution method 'x'"),
        ({"5": "attribution/saliency/srq >= 0"}, "Did you mean 'srg'"),
        ({"5": f"{MASS} >= 0 for 2 validations"}, "does not know for how long that has held"),
        ({"5": "attribution/saliency@nothing/srg >= 0"}, "nothing"),
        ({"7": "runs"}, "Expected package.module:name"),
        ({"7": "runs:probe"}, "gives ProbeSet; expected a LightningModule"),
        ({"9": "wach"}, "No monitor in the checkpoint 'wach'"),
    ],
)
def test_what_cannot_be_judged_has_a_status_of_its_own(watched_run, capsys, change, message):
    folder, *_ = watched_run
    given = [*AUDIT, "--gate", f"{MASS} >= 0", *MODEL, "--name", "attribution"]
    for place, argument in change.items():
        given[int(place)] = argument
    status, out, err = audit(capsys, folder, *given)
    assert (status, out) == (2, "")
    assert message.format(folder) in err
    assert "Traceback" not in err
    assert "usage" not in err


@pytest.mark.parametrize("model", ["loud:Crashing", "loud:leave"])
def test_a_crash_is_no_closed_gate(watched_run, capsys, model):
    folder, *_ = watched_run
    status, out, err = audit(capsys, folder, *AUDIT, "--model", model, "--gate", f"{MASS} >= 0")
    assert (status, out) == (2, "")
    assert "Traceback" in err
    assert "the audit crashed before the gate was judged" in err.splitlines()[-1]


def test_an_output_without_all_letters_does_not_change_the_status(watched_run):
    folder, *_ = watched_run
    given = [*(argument.format(folder) for argument in AUDIT), *MODEL, "--gate", f"{MASS} >= 0"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "lightning_explain", *given]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Gate open" in done.stdout


def test_help_of_the_audit_says_what_is_trusted_and_what_the_status_means(capsys):
    code, out, _ = leave(capsys, "audit", "--help")
    assert code == 0
    for said in ("1  the gate is closed", "2  the gate was not judged", "may run code", "--name", "example:"):
        assert said in out


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
