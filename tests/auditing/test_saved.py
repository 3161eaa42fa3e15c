"""What a run left behind, read again."""

import pickle

import pytest
import runs
import torch

from lightning_explain import METRICS, AttributionMonitor, IntegratedGradients, ProbeSet
from lightning_explain.auditing.saved import Checkpoint, Watched, load_checkpoint, load_probe
from lightning_explain.gate import Gate, History
from lightning_explain.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore:The trainer has no logger")

SRG = "attribution/saliency/srg"


def test_the_model_has_the_weights_and_the_step_of_the_run(watched_run):
    folder, module, report = watched_run
    kept = load_checkpoint(folder / "final.ckpt", "runs:Module")
    assert runs.same(kept.model.state_dict(), module.state_dict())
    assert kept.step == report.global_step


def test_what_the_gates_knew_before_the_validation_that_is_judged_again(watched_run):
    folder, *_ = watched_run
    assert set(load_checkpoint(folder / "final.ckpt", "runs:Module").history.best) == {SRG}
    # The first checkpoint was saved when the condition had held once, the last when it had held twice.
    assert dict(load_checkpoint(folder / "final.ckpt", "runs:Module").history.streaks) == {f"{SRG} >= -2": 1}


def test_what_the_monitor_wrote_down(tmp_path):
    metrics = [METRICS["srg"](steps=2, sync_on_compute=False)]
    monitor = AttributionMonitor(
        runs.probe(), [IntegratedGradients(n_steps=4)], metrics, name="watch", seed=5, max_rows=32
    )
    trainer, _ = runs.fit(tmp_path, monitor, max_epochs=1)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    watched = load_checkpoint(tmp_path / "a.ckpt", "runs:Module").monitors
    assert list(watched) == ["watch"]
    assert watched["watch"].probe == monitor.probe.identity
    settings = watched["watch"].settings
    assert (settings.seed, settings.max_rows) == (5, 32)
    assert "n_steps=4" in settings.methods["integrated_gradients"]
    assert "steps=2" in settings.metrics["srg"]


def write(path, kept):
    torch.save(kept, path)


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (lambda path: path.write_text("epoch,loss\n1,0.5\n"), "holds nothing that torch.save wrote. Expected a check"),
        (lambda path: path.write_text("e"), "holds nothing that torch.save wrote"),
        (lambda path: path.write_bytes(b""), "holds nothing that torch.save wrote"),
        (lambda path: path.write_bytes(b"\x80\x02"), "cannot be read"),
        (lambda path: path.write_bytes(b"PK\x03\x04 cut off"), "cannot be read"),
        (lambda path: path.write_bytes(pickle.dumps({"a": 1}, 2)), "cannot be read"),
        (lambda path: write(path, [1]), r"holds a list\. Expected a checkpoint of a LightningModule"),
        (lambda path: write(path, runs.Net().state_dict()), "holds weights alone"),
        (lambda path: write(path, {"state_dict": {}}), "holds a dictionary without Lightning's entries"),
        (lambda path: write(path, {"state_dict": 1, "pytorch-lightning_version": "2.6"}), "without Lightning's entr"),
        (lambda path: write(path, {"probe": runs.probe()}), r"holds more than tensors and .*ProbeSet.*pass --trust"),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path, fill, message):
    path = tmp_path / "a.ckpt"
    fill(path)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(path, "runs:Module")


FOREIGN = [[1, 2], {"best": 3}, {"best": {"a": "b"}, "streaks": {"x": None}}, {"streaks": [1]}, None, 7]


@pytest.mark.parametrize("history", FOREIGN, ids=str)
def test_callbacks_of_others_may_have_a_history_too(watched_run, tmp_path, history):
    kept = torch.load(watched_run[0] / "final.ckpt")
    kept["callbacks"] = {"Foreign": {"history": history}, "Odd": 3}
    write(tmp_path / "a.ckpt", kept)
    found = load_checkpoint(tmp_path / "a.ckpt", "runs:Module").history
    assert dict(found.best) == {}
    assert sum(found.streaks.values()) == 0


@pytest.mark.parametrize(
    "state", [3, {"attribution": 3}, {"attribution": {"settings": 3, "validations": "x"}}], ids=str
)
def test_states_that_no_monitor_wrote(watched_run, tmp_path, state):
    write(tmp_path / "a.ckpt", torch.load(watched_run[0] / "final.ckpt") | {"lightning_explain": state})
    kept = load_checkpoint(tmp_path / "a.ckpt", "runs:Module")
    assert all(watched.settings is None for watched in kept.monitors.values())


def of_monitors(*names):
    return Checkpoint(runs.Module(), 0, History(), {name: Watched("id", Settings(seed=len(name))) for name in names})


@pytest.mark.parametrize(
    ("monitors", "name", "gate", "expected"),
    [
        ((), None, "attribution/saliency/srg > 0", "attribution"),
        ((), "watch", "watch/saliency/srg > 0", "watch"),
        (("watch",), None, "watch/saliency/srg > 0", "watch"),
        (("watch",), None, "val_acc > 0", "watch"),
        (("a", "b"), None, "b/saliency/srg > 0", "b"),
        (("a", "b"), "a", "a/saliency/srg > 0", "a"),
    ],
)
def test_the_monitor_is_the_one_that_the_gate_asks(monitors, name, gate, expected):
    kept = of_monitors(*monitors)
    assert kept.monitor_of(Gate.parse(gate), name) == expected
    assert kept.settings_of(expected).seed == (len(expected) if expected in monitors else 0)


def test_a_monitor_that_is_not_there_and_a_gate_that_asks_two():
    with pytest.raises(ValueError, match=r"No monitor in the checkpoint 'wach'. Did you mean 'watch'"):
        of_monitors("watch").monitor_of(Gate.parse("watch/saliency/srg > 0"), "wach")
    with pytest.raises(ValueError, match="asks several monitors, a, b; audit the scores of each by itself"):
        of_monitors("a", "b").monitor_of(Gate.parse("a/saliency/srg > 0 and b/saliency/srg > 0"))


def test_differences_to_the_run_are_told():
    probe, same = runs.probe(), Settings({"saliency": "Saliency()"}, {"srg": "SRG()"})
    assert list(Watched(probe.identity, same).differences(probe, same)) == []
    (other,) = Watched("f00", same).differences(probe, same)
    assert other.startswith("The run had another probe set (f00)")
    (silent,) = Watched(probe.identity, None).differences(probe, same)
    assert "does not say how the run explained" in silent
    assert list(of_monitors("watch").differences("attribution", probe, same)) == []


def test_a_probe_set_is_read_or_made(watched_run):
    folder, *_ = watched_run
    assert load_probe(str(folder / "probe.pt")).identity == runs.probe().identity
    assert isinstance(load_probe("runs:probe"), ProbeSet)
    with pytest.raises(TypeError, match="gives Module; expected a ProbeSet"):
        load_probe("runs:Module")


@pytest.mark.parametrize("content", [b"", b"text", b"PK"])
def test_files_that_are_no_probe_sets(tmp_path, content):
    (tmp_path / "probe.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"holds no probe set that ProbeSet.save wrote"):
        load_probe(str(tmp_path / "probe.pt"))
