"""A trained model, judged after its run."""

import json

import pytest
import runs
import torch
from torch import nn

import lightning_explain
from lightning_explain import ProbeSet, audit
from lightning_explain.auditing.saved import load_checkpoint
from lightning_explain.gate import History
from lightning_explain.suite import Suite

MASS, SRG = "attribution/saliency/relevance_mass", "attribution/saliency/srg"


def test_an_audit_finds_what_the_run_found(watched_run):
    folder, _, report = watched_run
    kept = load_checkpoint(folder / "final.ckpt", "runs:Module")
    found = audit(kept.model, runs.probe(), [f"{MASS} >= 0", f"{SRG} > -2"], max_rows=64, step=kept.step)
    for score in (MASS, SRG, "attribution/random/srg"):
        assert found.scores[score].per_sample == pytest.approx(report.scores[score].per_sample, abs=1e-6)
    assert found.verdict.open
    assert f"at step {kept.step}:" in found.verdict.sentence


def test_the_gate_says_what_is_explained_and_scored(watched_run):
    _, module, _ = watched_run
    found = audit(module, runs.probe(), ["attribution/input_x_gradient/infidelity <= 1"])
    assert set(found.scores) == {"attribution/input_x_gradient/infidelity", "attribution/random/infidelity"}
    assert found.settings.methods == {"input_x_gradient": "InputXGradient()"}


def test_a_class_can_be_asked_for(watched_run):
    _, module, _ = watched_run
    probe = runs.probe()
    found = audit(module, probe, f"{SRG}/class_0 >= -2")
    assert found.scores[f"{SRG}/class_0"].n == int((probe.label == 0).sum())
    assert found.verdict.open


def test_the_random_line_can_be_judged_beside_a_method(watched_run):
    _, module, _ = watched_run
    found = audit(module, runs.probe(), f"{MASS} >= 0 and attribution/random/srg >= -2")
    assert found.verdict.open
    assert found.scores["attribution/random/srg"].n == 6


def test_methods_can_be_compared(watched_run):
    _, module, _ = watched_run
    agrees = "attribution/{}/agreement >= -1"
    found = audit(module, runs.probe(), [agrees.format("saliency"), agrees.format("integrated_gradients")])
    assert found.verdict.open
    assert found.scores["attribution/saliency/agreement"].n == 6


def test_the_scores_begin_with_the_name_of_the_monitor(watched_run):
    _, module, _ = watched_run
    assert audit(module, runs.probe(), "watch/saliency/srg >= -2", name="watch").verdict.open
    with pytest.raises(ValueError, match="asks for 'watch/saliency/srg'; a checkpoint alone has scores attribution/<"):
        audit(module, runs.probe(), "watch/saliency/srg >= -2")


def test_an_unknown_score_is_named_before_anything_is_explained(watched_run, monkeypatch):
    _, module, _ = watched_run
    monkeypatch.setattr(Suite, "run", lambda *_: pytest.fail("explained"))
    with pytest.raises(ValueError, match=r"No score 'attribution/random/sparseness'.* Did you mean"):
        audit(module, runs.probe(), f"{MASS} >= 0 and attribution/random/sparseness >= 0")


def test_a_layer_that_was_chosen_is_part_of_the_name(watched_run):
    _, module, _ = watched_run
    with pytest.raises(ValueError, match=r"explains at a layer, .*: ask for attribution/grad_cam@net\.conv2/<metric>"):
        audit(module, runs.probe(), "attribution/grad_cam/srg >= -2")
    assert audit(module, runs.probe(), "attribution/grad_cam@net.conv2/srg >= -2").verdict.open


def test_a_probe_set_of_another_shape_is_told_with_its_shapes(watched_run):
    _, module, _ = watched_run
    probe = ProbeSet.from_tensors(torch.rand(4, 3, 8, 8), label=torch.arange(4) % 3)
    with pytest.raises(
        ValueError, match=r"cannot be run on the probe set, whose inputs have shapes \[\(4, 3, 8, 8\)\]"
    ):
        audit(module, probe, f"{SRG} >= 0")


def test_earlier_validations_count(watched_run):
    _, module, _ = watched_run
    gate = f"{SRG} >= -2 for 3 validations"
    for before, is_open in ((1, False), (2, True)):
        found = audit(module, runs.probe(), gate, history=History(streaks={f"{SRG} >= -2": before}))
        assert found.verdict.open is is_open
    assert not audit(module, runs.probe(), f"{SRG} >= best + 3", history=History({SRG: 0.0})).verdict.open
    assert audit(module, runs.probe(), f"{SRG} >= best - 3", history=History({SRG: 0.0})).verdict.open


def test_what_is_told_is_strict_json(watched_run):
    _, module, _ = watched_run
    found = audit(module, ProbeSet.from_tensors(runs.images(1)[0], label=torch.tensor([0])), f"{SRG} >= -2", seed=3)
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["scores"][SRG]["low"] is None
    assert told["scores"][SRG]["mean"] == found.scores[SRG].mean
    assert told["settings"]["seed"] == 3


def test_the_audited_model_is_left_as_it_was():
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    probe = ProbeSet.from_tensors(torch.randn(6, 4), label=torch.arange(6) % 2)
    state = torch.get_rng_state()
    assert audit(model, probe, "attribution/input_x_gradient/infidelity <= 0.01").verdict.open
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training


def test_the_function_is_public():
    assert lightning_explain.audit is audit
