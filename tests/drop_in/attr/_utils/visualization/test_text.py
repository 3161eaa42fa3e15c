import re
import sys
import types
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from captum.attr import visualization as captums

from lightning_explain.captum.attr._utils import visualization as ours

WORDS = ["[CLS]", "good", "<pad>", "bad"]


class Table(HTMLParser):
    """The text of every cell."""

    def __init__(self, html):
        super().__init__()
        self.cells, self.open = [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag in {"td", "th"}:
            self.cells.append("")
            self.open = True

    def handle_endtag(self, tag):
        self.open = self.open and tag not in {"td", "th"}

    def handle_data(self, data):
        if self.open:
            self.cells[-1] = " ".join((self.cells[-1] + " " + data).split())


def colors(html):
    return re.findall(r"hsl\([^)]*\)", html)


def records(module, attributions):
    made = (0.9, 1, 0, 1, 2.345, WORDS, 0.1)
    return [module.VisualizationDataRecord(attributions, *made), module.VisualizationDataRecord(-attributions, *made)]


@pytest.fixture
def captum_html(monkeypatch):
    monkeypatch.setattr(captums, "HAS_IPYTHON", True)
    monkeypatch.setattr(captums, "HTML", lambda text: text, raising=False)
    monkeypatch.setattr(captums, "display", lambda shown: None, raising=False)
    return captums.visualize_text


@pytest.fixture
def ipython(monkeypatch):
    shown = []
    display = types.ModuleType("IPython.display")
    display.HTML = lambda data: types.SimpleNamespace(data=data, kind="IPython")
    display.display = shown.append
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


@pytest.mark.parametrize("legend", [True, False])
def test_cells_and_colors_are_those_of_captum(captum_html, monkeypatch, legend):
    monkeypatch.setitem(sys.modules, "IPython", None)
    attributions = torch.tensor([0.0, 0.77, -0.013, -5.0])
    page = ours.visualize_text(records(ours, attributions), legend)
    expected = captum_html(records(captums, attributions), legend)
    assert page._repr_html_() is page.data
    assert Table(page.data).cells == Table(expected).cells
    assert colors(page.data) == colors(expected)
    assert ("Legend" in page.data) == legend


def test_notebooks_display_it(ipython):
    shown = ours.visualize_text(records(ours, torch.rand(4)))
    assert ipython == [shown]
    assert shown.kind == "IPython"
    assert "good" in shown.data


@pytest.mark.parametrize("importances", [[0.1, -0.2, 0, 1], np.array([1.0, 0, 0, -1]), torch.linspace(-1, 1, 5)])
def test_words_stand_on_colors(importances):
    ours_, theirs = (
        ours.format_word_importances(WORDS, importances),
        captums.format_word_importances(WORDS, importances),
    )
    assert colors(ours_) == colors(theirs)
    assert Table(ours_).cells == Table(theirs).cells == ["[CLS] good #pad bad"]


def test_words_are_no_html():
    assert "<b>" not in ours.format_word_importances(["a<b>c"], [0.5])
    assert "<b>x" not in ours.format_classname("<b>x")


def test_small_things():
    assert Table(ours.format_classname(3)).cells == Table(captums.format_classname(3)).cells == ["3"]
    assert [ours.format_special_tokens(word) for word in WORDS] == [captums.format_special_tokens(w) for w in WORDS]
    assert ours.format_word_importances(WORDS, None) == ours.format_word_importances(WORDS, []) == "<td></td>"
    assert ours.format_tooltip("x", "more").split() == [
        "<div",
        'class="tooltip">x<span',
        'class="tooltiptext">more</span></div>',
    ]


def test_mistakes_are_named():
    with pytest.raises(AssertionError, match=r"each of the 4 words, got \(2,\)"):
        ours.format_word_importances(WORDS, [0.1, 0.2])
    with pytest.raises(AssertionError, match=r"each of the 4 words, got \(4, 1\)"):
        ours.format_word_importances(WORDS, np.ones((4, 1)))
    with pytest.raises(ValueError, match=r"Expected finite attributions of words, got nan"):
        ours.format_word_importances(WORDS, [0.1, 0.2, float("nan"), 1])
