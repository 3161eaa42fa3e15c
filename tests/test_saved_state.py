import pytest

from lightning_explain.saved_state import CHECKPOINT_KEY, SavedState

STATE = SavedState(3, "abc", {"saliency": 2.5}, "runs:Module", {"seed": 1})


def test_what_is_written_is_read_again():
    checkpoint = {}
    STATE.write(checkpoint, "attribution")
    assert SavedState.read(checkpoint, "attribution") == STATE


def test_every_monitor_has_its_own():
    checkpoint = {}
    other = SavedState(1, "xyz", {}, "runs:Module", {})
    STATE.write(checkpoint, "one")
    other.write(checkpoint, "two")
    assert SavedState.read(checkpoint, "one") == STATE
    assert SavedState.read(checkpoint, "two") == other
    assert SavedState.read(checkpoint, "three") is None
    assert SavedState.read({}, "one") is None


def test_what_is_in_a_checkpoint_are_plain_values():
    checkpoint = {}
    STATE.write(checkpoint, "attribution")
    assert checkpoint[CHECKPOINT_KEY]["attribution"] == {
        "validations": 3, "probe": "abc", "scales": {"saliency": 2.5}, "module": "runs:Module", "settings": {"seed": 1},
    }  # fmt: skip


def test_what_only_an_audit_reads_may_be_missing():
    held = {CHECKPOINT_KEY: {"attribution": {"validations": 3, "probe": "abc", "scales": {}}}}
    assert SavedState.read(held, "attribution") == SavedState(3, "abc", {}, "", {})


def test_another_probe_set_is_said():
    assert STATE.is_of("abc")
    with pytest.warns(UserWarning, match=r"another probe set \(xyz\) than it was saved with \(abc\): scores and"):
        assert not STATE.is_of("xyz")
