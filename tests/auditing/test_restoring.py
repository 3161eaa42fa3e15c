"""The module of a checkpoint, whose class the user names."""

import sys

import lightning as L
import pytest
import runs
import torch

from lightning_explain import AttributionMonitor
from lightning_explain.auditing.saved import load_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:The trainer has no logger", "ignore:.*unsafe when loading")


class Wide(runs.Module):
    """Needs a number that nobody saves."""

    def __init__(self, width, *, depth=2):
        super().__init__()
        self.width = width


class Saving(Wide):
    def __init__(self, width, *, depth=2):
        super().__init__(width)
        self.save_hyperparameters()


class Other(runs.Module):
    def __init__(self):
        super().__init__()
        self.more = torch.nn.Linear(2, 2)


def make_wide():
    return Wide(3)


def saved(path, module, **entries):
    """A checkpoint of an untrained module, with some entries beside those of Lightning."""
    trainer = L.Trainer(max_epochs=0, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(path)
    torch.save(torch.load(path) | entries, path)
    return path


def monitored(path, module):
    return saved(path, runs.Module(), lightning_explain={"attribution": {"module": module, "probe": "?"}})


def test_a_class_that_saves_its_hyperparameters(tmp_path):
    module = Saving(5)
    kept = load_checkpoint(saved(tmp_path / "a.ckpt", module), "auditing.test_restoring:Saving")
    assert kept.model.width == 5
    assert runs.same(kept.model.state_dict(), module.state_dict())


def test_a_class_that_does_not_save_them_is_told_to_and_can_be_made_by_a_function(tmp_path):
    module = Wide(3)
    path = saved(tmp_path / "a.ckpt", module)
    with pytest.raises(ValueError, match=r"cannot be made without width, .* call self.save_hyperparameters\(\) in its"):
        load_checkpoint(path, "auditing.test_restoring:Wide")
    kept = load_checkpoint(path, "auditing.test_restoring:make_wide")
    assert runs.same(kept.model.state_dict(), module.state_dict())


def test_weights_that_do_not_fit(tmp_path):
    path = saved(tmp_path / "a.ckpt", runs.Module())
    with pytest.raises(
        ValueError, match=r"weights in .*a.ckpt do not fit auditing.test_restoring:Other: (?s:.*)more.weight"
    ):
        load_checkpoint(path, "auditing.test_restoring:Other")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("runs:CLASSES", "is no LightningModule, nor a function that makes one"),
        ("runs:Net", "is no LightningModule, nor a function that makes one"),
        ("runs:probe", "gives ProbeSet; expected a LightningModule"),
    ],
)
def test_what_is_no_module(tmp_path, named, message):
    with pytest.raises(TypeError, match=message):
        load_checkpoint(saved(tmp_path / "a.ckpt", runs.Module()), named)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("__main__:Main", r"of 'Main', which was defined in the script that ran; .* --model your_script:Main\."),
        ("tests.a:f.<locals>.Main", r"which was defined inside a function; .* --model your_script:Main\."),
        ("runs:Module", "not imported, for that runs code: pass --model runs:Module if .* or --trust if"),
    ],
)
def test_the_class_that_a_file_names_is_for_the_user_to_confirm(tmp_path, written, message):
    with pytest.raises(ValueError, match=message):
        load_checkpoint(monitored(tmp_path / "a.ckpt", written))


def test_a_file_imports_nothing_unless_it_is_trusted(tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text("import runs\nclass Planted(runs.Module): ...")
    monkeypatch.syspath_prepend(tmp_path)
    path = monitored(tmp_path / "a.ckpt", "planted:Planted")
    with pytest.raises(ValueError, match="pass --model planted:Planted"):
        load_checkpoint(path)
    assert type(load_checkpoint(path, "runs:Module").model) is runs.Module
    assert "planted" not in sys.modules
    assert type(load_checkpoint(path, trust=True).model).__name__ == "Planted"
    del sys.modules["planted"]


@pytest.mark.parametrize("entry", ["hyper_parameters", "hparams", "module_arguments"])
def test_a_file_calls_nothing_unless_it_is_trusted(tmp_path, entry):
    path = saved(tmp_path / "a.ckpt", runs.Module(), **{entry: {"_instantiator": "os.system"}})
    with pytest.raises(ValueError, match="it names the function that makes the module, and calling that may run any"):
        load_checkpoint(path, "runs:Module")


def test_a_run_without_a_monitor_does_not_say_its_class(tmp_path):
    path = saved(tmp_path / "bare.ckpt", runs.Module())
    with pytest.raises(ValueError, match=r"does not say of which class it is .* name it, --model package.module:Class"):
        load_checkpoint(path)
    with pytest.raises(ValueError, match="does not say of which class it is"):
        load_checkpoint(path, trust=True)


def test_a_run_with_a_monitor_does(tmp_path):
    monitor = AttributionMonitor(runs.probe(), methods=["saliency"], metrics=["srg"])
    trainer, _ = runs.fit(tmp_path, monitor, max_epochs=1)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert type(load_checkpoint(tmp_path / "a.ckpt", trust=True).model) is runs.Module
