from types import SimpleNamespace

import pytest
import runs
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_explain.requirements import (
    check_settings,
    remarks,
    require_best,
    require_own_name,
    require_scores,
    require_whole_parameters,
    watched_by_checkpoint,
)

FINE = {
    "name": "attribution", "every_n_validations": 1, "on_error": "raise", "max_pictures": 0, "per_class": True,
    "best": ("val_acc", "max"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "a/b"}, "name must be a word without '/', got 'a/b'"),
        ({"every_n_validations": 0}, "every_n_validations must be at least 1, got 0"),
        ({"on_error": "ignore"}, "on_error must be 'raise' or 'warn', got 'ignore'"),
        ({"max_pictures": -1}, "max_pictures must not be negative, got -1"),
        ({"best": "val_acc"}, "best must be the name of a metric and 'min' or 'max'"),
    ],
)
def test_settings(change, message):
    check_settings(runs.probe(), **FINE)
    with pytest.raises(MisconfigurationException, match=message):
        check_settings(runs.probe(), **FINE | change)


def test_settings_of_the_probe_set():
    with pytest.raises(MisconfigurationException, match="probe must be a ProbeSet, got list"):
        check_settings([], **FINE | {"per_class": False})
    with pytest.raises(MisconfigurationException, match="per_class needs a probe set with class labels"):
        check_settings(runs.probe(label=None), **FINE)


class FSDPStrategy:
    """Named as Lightning's."""


class Own(FSDPStrategy):
    """A user's."""


def test_sharded_parameters():
    require_whole_parameters(SimpleNamespace(strategy=object()))
    for strategy in (FSDPStrategy(), Own()):
        with pytest.raises(MisconfigurationException, match=r"FSDPStrategy shards them. Use DDP"):
            require_whole_parameters(SimpleNamespace(strategy=strategy))


class AttributionMonitor:
    """Named as ours."""

    def __init__(self, name):
        self.name = name


def test_two_monitors_of_one_name():
    require_own_name(SimpleNamespace(callbacks=[AttributionMonitor("a"), AttributionMonitor("b"), object()]), "a")
    with pytest.raises(MisconfigurationException, match="2 AttributionMonitors are called 'a'"):
        require_own_name(SimpleNamespace(callbacks=[AttributionMonitor("a"), AttributionMonitor("a")]), "a")


def test_the_progress_bar_shows_scores():
    names = ["attribution/saliency/srg", "attribution/saliency/drift"]
    require_scores(["saliency/srg"], names, "attribution")
    with pytest.raises(MisconfigurationException, match=r"prog_bar names no score: \['srg'\]. Known: .*saliency/drift"):
        require_scores(["srg", "saliency/drift"], names, "attribution")


@pytest.mark.parametrize(
    ("stage", "validates", "loggers", "said"),
    [
        ("fit", True, [object()], []),
        ("fit", False, [object()], ["no validation"]),
        ("validate", False, [object()], []),
        ("fit", False, [], ["no validation", "no logger"]),
        ("test", True, [], ["no logger"]),
    ],
)
def test_what_may_not_be_meant(stage, validates, loggers, said):
    found = list(remarks(SimpleNamespace(enable_validation=validates, loggers=loggers), stage))
    assert len(found) == len(said)
    assert all(word in remark for word, remark in zip(said, found, strict=True))


def test_which_validation_is_the_best():
    saving = SimpleNamespace(monitor="val_acc", mode="max")
    assert watched_by_checkpoint(SimpleNamespace(checkpoint_callback=saving)) == ("val_acc", "max")
    for nothing in (None, SimpleNamespace(monitor=None, mode="min")):
        assert watched_by_checkpoint(SimpleNamespace(checkpoint_callback=nothing)) is None
    require_best(("val_acc", "max"))
    with pytest.raises(MisconfigurationException, match="drift_from_best needs to know which validation is the best"):
        require_best(None)
