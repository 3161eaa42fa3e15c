import warnings
from types import SimpleNamespace

import pytest
import runs
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_explain.guest import Once, as_fed, attempt, misconfiguration


def failing():
    raise KeyError("gone")


def two_ranks(tmp_path, other_failed):
    trainer = runs.trainer(tmp_path)
    agreed = SimpleNamespace(reduce_boolean_decision=lambda held, all: held and not other_failed)  # noqa: A006
    return SimpleNamespace(precision_plugin=trainer.precision_plugin, strategy=agreed)


def test_what_works_on_every_rank_is_given(tmp_path):
    assert attempt(two_ranks(tmp_path, other_failed=False), lambda: 3, "raise") == 3


def test_what_fails_here_is_raised_as_it_is(tmp_path):
    with pytest.raises(KeyError, match="gone"):
        attempt(two_ranks(tmp_path, other_failed=False), failing, "raise")
    with pytest.warns(UserWarning, match="skips this validation, and the run goes on .KeyError: 'gone'"):
        assert attempt(two_ranks(tmp_path, other_failed=False), failing, "warn") is None


def test_what_fails_elsewhere_fails_here(tmp_path):
    with pytest.raises(RuntimeError, match="failed on another rank"):
        attempt(two_ranks(tmp_path, other_failed=True), lambda: 3, "raise")
    with pytest.warns(UserWarning, match="another rank failed"):
        assert attempt(two_ranks(tmp_path, other_failed=True), lambda: 3, "warn") is None


def test_inputs_come_in_the_precision_of_the_run(tmp_path):
    trainer = runs.trainer(tmp_path, precision="bf16-true")
    fed = as_fed(trainer, {"x": torch.ones(2, 3), "ids": torch.arange(2)})
    assert (fed["x"].dtype, fed["ids"].dtype) == (torch.bfloat16, torch.int64)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("no such layer"), "AttributionMonitor: no such layer"),
        (RuntimeError("bad"), r"\(6, 1, 8, 8\).*: bad"),
    ],
)
def test_settings_that_do_not_fit(error, said):
    with pytest.raises(MisconfigurationException, match=said), misconfiguration(runs.probe()):
        raise error


def test_of_each_thing_is_warned_once():
    once = Once()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for message in ("this", "that", "this"):
            once.warn(message)
    assert [str(warning.message) for warning in caught] == ["this", "that"]
