"""Captum's own tests pass against our names; and what runs them can tell."""

import os
from pathlib import Path

import captum.attr
import pytest
from conformance import verdict
from conformance.suite import VARIABLE, outcomes
from conformance.verdict import KNOWN, judge

SUITE = os.environ.get(VARIABLE)
DOCS = Path(__file__).parents[2] / "docs" / "captum.md"

SMALL = """
import unittest
from captum._utils.common import _run_forward
from captum.attr import Saliency
from captum.attr._core.saliency import Saliency as Same
from captum.testing.attr.helpers import test_config

class Test(unittest.TestCase):
    def test_ours(self):
        self.assertTrue(Saliency.__module__.startswith("{package}"), Saliency.__module__)

    def test_same(self):
        self.assertIs(Saliency, Same)
        self.assertIs(Saliency, test_config.Saliency)

    def test_tool(self):
        self.assertEqual(_run_forward.__module__, "captum._utils.common")

    def test_wrong(self):
        self.assertEqual(1, 2)
"""
PRIVATE = "from captum._utils.common import _run_forward\n\ndef test_tool():\n    assert _run_forward\n"
BROKEN = "from captum.attr import NoSuchName\n"


@pytest.fixture
def suite(tmp_path):
    """A suite of three files: of a public name, of a private one, and of one that is no more."""

    def write(package):
        folder = tmp_path / "captum-0" / "tests" / "attr"
        folder.mkdir(parents=True)
        for package_folder in (folder, folder.parent):
            (package_folder / "__init__.py").touch()
        (folder / "test_small.py").write_text(SMALL.replace("{package}", package))
        (folder / "test_private.py").write_text(PRIVATE)
        (folder / "test_broken.py").write_text(BROKEN)
        return folder.parents[1]

    return write


@pytest.mark.parametrize(("against", "package"), [("captum", "captum."), ("ours", "lightning_explain.")])
def test_the_names_are_put_in_place_everywhere(suite, against, package):
    theirs = captum.attr.Saliency
    seen = {
        test.removeprefix("tests/attr/"): outcome for test, (outcome, _) in outcomes(suite(package), against).items()
    }
    of = "test_small.py::Test::test_"
    assert seen == {
        of + "ours": "passed",
        of + "same": "passed",
        of + "tool": "passed",
        of + "wrong": "failed",
        "test_private.py::test_tool": "private",
        "test_broken.py": "failed",
    }
    assert captum.attr.Saliency is theirs, "the shim is none of this process's business"


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setitem(verdict.KNOWN, "captum", {"tests/attr/a.py::gone": "renamed"})
    monkeypatch.setitem(verdict.KNOWN, "ours", {"tests/attr/a.py::differs": "the paper's number"})


SEEN = {
    "tests/attr/a.py::gone": ("failed", "TypeError"),
    "tests/attr/a.py::differs": ("failed", "1 != 2"),
    "tests/attr/a.py::right": ("passed", ""),
    "tests/attr/b.py::right": ("passed", ""),
    "tests/attr/b.py::tool": ("private", ""),
    "tests/metrics/c.py::right": ("passed", ""),
}


@pytest.mark.usefixtures("known")
def test_what_is_listed_is_accepted_and_counts_as_failed():
    found = judge(SEEN, "ours")
    assert found.accepted
    assert found.share("attr") == 2 / 3
    assert found.share("metrics") == 1
    assert found.counts["tests/attr/a.py"] == {"not counted": 1, "failed": 1, "passed": 1}


@pytest.mark.usefixtures("known")
def test_what_is_not_listed_is_refused():
    found = judge({**SEEN, "tests/attr/b.py::right": ("failed", "2 != 3")}, "ours")
    assert found.new == {"tests/attr/b.py::right": "2 != 3"}
    assert not found.accepted


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("outcome", [("passed", ""), None])
def test_what_is_listed_and_passes_or_is_gone_is_refused(outcome):
    seen = {test: outcome or SEEN[test] for test in SEEN if outcome or not test.endswith("differs")}
    found = judge(seen, "ours")
    assert found.stale == ("tests/attr/a.py::differs",)
    assert not found.accepted
    assert judge({"tests/attr/b.py::right": ("passed", "")}, "ours", whole=False).accepted


@pytest.mark.usefixtures("known")
def test_what_rounding_decides_may_pass_but_not_be_gone(monkeypatch):
    monkeypatch.setitem(verdict.KNOWN, "ours", {"tests/attr/a.py::differs": "float32: a delta of 0.003 or so"})
    passes = {**SEEN, "tests/attr/a.py::differs": ("passed", "")}
    assert judge(passes, "ours").accepted
    assert judge(SEEN, "ours").accepted
    del passes["tests/attr/a.py::differs"]
    assert judge(passes, "ours").stale == ("tests/attr/a.py::differs",)


def test_every_difference_is_in_the_docs():
    text = DOCS.read_text(encoding="utf-8") if KNOWN["ours"] else ""
    assert [test for test in KNOWN["ours"] if f"`{test.rsplit('::test_', 1)[1]}`" not in text] == []


@pytest.mark.timeout(900)
@pytest.mark.skipif(not SUITE, reason=f"{VARIABLE} does not say where the source distribution of Captum 0.3.1 is")
def test_captums_own_tests_pass():
    found = judge(outcomes(Path(SUITE), "ours"), "ours")
    assert found.new == {}, "fails, and is not listed"
    assert found.stale == (), "is listed, and does not fail"
    assert found.share("attr") >= 0.95
    assert found.share("metrics") >= 0.95
