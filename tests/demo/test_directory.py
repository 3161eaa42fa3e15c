import pytest

from lightning_explain.demo.directory import claim


@pytest.fixture
def demo(tmp_path):
    """A directory with an earlier demo, and something of the user's beside it."""
    for name in ("shortcut", "honest"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "events.out.tfevents.1.host.0").touch()
    (tmp_path / "mine.txt").write_text("keep")
    return tmp_path


def test_makes_the_directory_with_its_parents(tmp_path):
    claim(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_directory_with_other_things_or_empty_runs_is_fine(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    (tmp_path / "shortcut").mkdir()
    claim(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_an_earlier_demo_is_refused_and_kept(demo):
    with pytest.raises(FileExistsError, match=r"shortcut, .*honest\. Give another directory, or --overwrite"):
        claim(demo)
    assert (demo / "honest" / "events.out.tfevents.1.host.0").exists()


def test_overwrite_deletes_what_the_demo_wrote_and_nothing_else(demo):
    claim(demo, overwrite=True)
    assert [path.name for path in demo.iterdir()] == ["mine.txt"]


def test_overwrite_never_deletes_what_the_demo_did_not_write(demo):
    (demo / "honest" / "events.out.tfevents.1.host.0").unlink()
    with pytest.raises(FileExistsError, match="was not written by the demo, so it is not overwritten"):
        claim(demo, overwrite=True)
    assert (demo / "honest" / "checkpoints").exists()
    assert (demo / "shortcut" / "events.out.tfevents.1.host.0").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_in_the_place_of_the_directory_or_of_a_run(tmp_path, overwrite):
    (tmp_path / "shortcut").write_text("keep")
    with pytest.raises(FileExistsError, match="is a file; give a directory"):
        claim(tmp_path / "shortcut", overwrite)
    with pytest.raises(FileExistsError, match="shortcut"):
        claim(tmp_path, overwrite)
    assert (tmp_path / "shortcut").read_text() == "keep"
