"""A checkpoint of a real run, judged afterwards."""

import json
import warnings
from pathlib import Path

import pytest
import runs
import torch
from torch import nn

from lightning_explain import AttributionCheckpoint, AttributionMonitor, ProbeSet, audit
from lightning_explain.audit import load_checkpoint, load_object, load_probe, table
from lightning_explain.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:The trainer has no logger")

MASS, SRG = "attribution/saliency/relevance_mass", "attribution/saliency/srg"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A monitored run: its folder, the module and the report of its last validation."""
    folder = tmp_path_factory.mktemp("run")
    monitor = AttributionMonitor(runs.probe(), methods=["saliency"], metrics=["srg", "relevance_mass"], max_rows=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer, module = runs.fit(folder, monitor, max_epochs=1)
    trainer.save_checkpoint(folder / "final.ckpt")
    monitor.probe.save(folder / "probe.pt")
    return folder, module, monitor.report


def command(folder, *gates, extra=()):
    given = [part for gate in gates for part in ("--gate", gate)]
    return main(["audit", str(folder / "final.ckpt"), "--probe", str(folder / "probe.pt"), *given, *extra])


def test_an_audit_finds_what_the_run_found(run):
    folder, _, report = run
    kept = load_checkpoint(folder / "final.ckpt")
    found = audit(kept.model, load_probe(str(folder / "probe.pt")), f"{MASS} >= 0", max_rows=64, step=kept.step)
    assert found.scores[MASS].per_sample == pytest.approx(report.scores[MASS].per_sample, abs=1e-6)
    assert found.verdict.open
    assert f"at step {kept.step}:" in found.verdict.sentence


def test_the_gate_says_what_is_explained_and_scored(run):
    folder, module, _ = run
    found = audit(module, load_probe(str(folder / "probe.pt")), ["attribution/input_x_gradient/infidelity <= 1"])
    assert set(found.scores) == {"attribution/input_x_gradient/infidelity", "attribution/random/infidelity"}


def test_a_class_can_be_asked_for(run):
    folder, module, _ = run
    probe = load_probe(str(folder / "probe.pt"))
    found = audit(module, probe, f"{SRG}/class_0 >= -2")
    assert found.scores[f"{SRG}/class_0"].n == int((probe.label == 0).sum())
    assert found.verdict.open


def test_the_status_is_the_verdict(run, capsys):
    folder, *_ = run
    assert command(folder, f"{MASS} >= 0") == 0
    printed = capsys.readouterr().out
    assert "Gate open" in printed
    assert MASS in printed
    assert command(folder, f"{MASS} >= 0", f"{SRG} >= 2") == 1
    assert "needs >= 2" in capsys.readouterr().out


def test_json_is_strict(run, capsys):
    folder, _, report = run
    assert command(folder, f"{MASS} >= 0", extra=["--json", "--max-rows", "64"]) == 0
    told = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert told["verdict"]["open"] is True
    assert told["scores"][MASS]["mean"] == pytest.approx(report.scores[MASS].mean, abs=1e-6)
    assert len(told["scores"][MASS]["per_sample"]) == len(runs.probe())


def test_the_table_has_a_row_for_each_score(run):
    folder, module, _ = run
    found = audit(module, load_probe(str(folder / "probe.pt")), f"{SRG} >= -2")
    lines = table(found).splitlines()
    assert lines[0].split() == ["score", "mean", "95", "%", "interval", "n", "skill"]
    assert [line.split()[0] for line in lines[1:3]] == [SRG, "attribution/random/srg"]
    assert lines[-1] == found.verdict.sentence


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{0}/nothing.ckpt", "--probe", "{0}/probe.pt", "--gate", f"{MASS} >= 0"], "there is no file"),
        (["{0}/final.ckpt", "--probe", "{0}/nothing.pt", "--gate", f"{MASS} >= 0"], "There is no file"),
        (["{0}/final.ckpt", "--probe", "{0}/final.ckpt", "--gate", f"{MASS} >= 0"], "holds no probe set"),
        (["{0}/final.ckpt", "--probe", "{0}/probe.pt", "--gate", f"{MASS} > > 0"], "^"),
        (["{0}/final.ckpt", "--probe", "{0}/probe.pt", "--gate", "val_acc >= 0"], "a checkpoint alone has scores"),
        (
            ["{0}/final.ckpt", "--probe", "{0}/probe.pt", "--gate", "attribution/x/srg >= 0"],
            "No attribution method 'x'",
        ),
        (
            ["{0}/final.ckpt", "--probe", "{0}/probe.pt", "--gate", "attribution/saliency/srq >= 0"],
            "Did you mean 'srg'",
        ),
        (
            ["{0}/final.ckpt", "--probe", "{0}/probe.pt", "--gate", f"{MASS} >= 0", "--model", "runs"],
            "Expected package.module:name",
        ),
        (
            ["{0}/final.ckpt", "--probe", "{0}/probe.pt", "--gate", f"{MASS} >= 0", "--model", "runs:probe"],
            "is no LightningModule",
        ),
    ],
)
def test_wrong_arguments_leave_with_two(run, capsys, arguments, message):
    folder, *_ = run
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["audit", *(argument.format(folder) for argument in arguments)])
    assert message in capsys.readouterr().err


def test_a_run_without_a_monitor_does_not_say_its_class(tmp_path):
    trainer, _ = runs.fit(tmp_path, max_epochs=1)
    trainer.save_checkpoint(tmp_path / "bare.ckpt")
    with pytest.raises(ValueError, match=r"does not say of which class it is .* package.module:Class"):
        load_checkpoint(tmp_path / "bare.ckpt")
    kept = load_checkpoint(tmp_path / "bare.ckpt", "runs:Module")
    assert type(kept.model) is runs.Module
    assert (kept.step, kept.best) == (trainer.global_step, {})


def test_a_probe_set_can_be_made_by_a_function():
    made = load_probe("runs:probe")
    assert isinstance(made, ProbeSet)
    with pytest.raises(TypeError, match="gives Module; expected a ProbeSet"):
        load_probe("runs:Module")


@pytest.mark.parametrize("path", ["nowhere:thing", "runs:nothing"])
def test_what_cannot_be_imported_is_named(path):
    with pytest.raises(ValueError, match=f"Cannot import '{path}'"):
        load_object(path)


def test_the_audited_model_is_left_as_it_was():
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    probe = ProbeSet.from_tensors(torch.randn(6, 4), label=torch.arange(6) % 2)
    state = torch.get_rng_state()
    assert audit(model, probe, "attribution/input_x_gradient/infidelity <= 0.01").verdict.open
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training


def test_the_random_line_and_intervals_can_be_asked_for(run, capsys):
    folder, *_ = run
    assert command(folder, f"lower({SRG}) > random - 3") == 0
    assert "ahead of random by" in capsys.readouterr().out
    assert command(folder, f"lower({SRG}) > random + 3 or {SRG} > random + 3") == 1


def test_several_validations_are_more_than_an_audit_sees(run, capsys):
    folder, *_ = run
    assert command(folder, f"{MASS} >= 0 for 3 validations") == 1
    assert "1 of 3 validations" in capsys.readouterr().out


def test_the_best_value_is_read_from_the_gate_of_the_run(tmp_path):
    monitor = AttributionMonitor(runs.probe(), methods=["saliency"], metrics=["srg"], max_rows=64)
    gated = AttributionCheckpoint(dirpath=tmp_path, filename="gated", gate=f"{SRG} >= best - 3")
    runs.fit(tmp_path, monitor, gated, max_epochs=2, enable_checkpointing=True)
    kept = load_checkpoint(Path(gated.best_model_path))
    assert set(kept.best) == {SRG}
    probe = runs.probe()
    assert audit(kept.model, probe, f"{SRG} >= best - 3", best=kept.best).verdict.open
    assert not audit(kept.model, probe, f"{SRG} >= best + 3", best=kept.best).verdict.open
    with pytest.raises(ValueError, match="the checkpoint knows none: only a run whose own gate"):
        audit(kept.model, probe, f"{SRG} >= best - 3")
