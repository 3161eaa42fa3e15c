import pytest
import runs

from lightning_explain.auditing.importing import load_object


def test_an_object_and_one_inside_it():
    assert load_object("runs:Module") is runs.Module
    assert load_object("runs:Module.loss") is runs.Module.loss


@pytest.mark.parametrize("path", ["nowhere:thing", "runs:nothing", "..runs:Module"])
def test_what_cannot_be_imported_is_named(path):
    with pytest.raises(ValueError, match=f"Cannot import '{path}'"):
        load_object(path)


@pytest.mark.parametrize("path", ["runs", "runs:", ":Module"])
def test_a_path_of_another_form(path):
    with pytest.raises(ValueError, match=f"Expected package.module:name, got '{path}'"):
        load_object(path)
