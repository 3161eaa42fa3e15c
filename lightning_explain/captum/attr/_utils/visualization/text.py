"""Attributions of texts: a table in HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lightning_explain.captum.attr._utils.visualization.scale import array
from lightning_explain.captum.errors import ArgumentError

_HEADERS = ("True Label", "Predicted Label", "Attribution Label", "Attribution Score", "Word Importance")
_LEGEND = ((-1, "Negative"), (0, "Neutral"), (1, "Positive"))
# How far the lightness falls from white to the strongest red and green.
_RED, _GREEN = (0, 40), (120, 50)


@dataclass(slots=True, eq=False)
class VisualizationDataRecord:
    """What is shown of one text.

    Args:
        word_attributions: One for each word, in [-1, 1].
        pred_prob: The probability of the class that was predicted.
        pred_class: That class.
        true_class: The true class.
        attr_class: The class that was explained.
        attr_score: The sum of the attributions, or another score.
        raw_input_ids: The words.
        convergence_score: How far the attributions are from complete.
    """

    word_attributions: Tensor
    pred_prob: float
    pred_class: int
    true_class: int
    attr_class: int
    attr_score: float
    raw_input_ids: list[str]
    convergence_score: float


class Page:
    """HTML that a notebook displays, where there is no IPython.

    Args:
        data: The HTML.
    """

    def __init__(self, data: str) -> None:
        self.data = data

    def _repr_html_(self) -> str:
        return self.data


def visualize_text(datarecords: Iterable[VisualizationDataRecord], legend: bool = True) -> Any:  # noqa: ANN401  (IPython)
    """Show texts, every word on the color of its attribution.

    Args:
        datarecords: What is shown, a row for each text.
        legend: Whether the colors are explained.

    Returns:
        ``IPython.display.HTML``, which is displayed, too; without IPython an object like it, with ``data`` and
        ``_repr_html_``.

    Raises:
        ArgumentError: If a text has more words than attributions, or one that is not finite.
    """
    header = "".join(f"<th>{name}</th>" for name in _HEADERS)
    rows = "".join(f"<tr>{_cells(record)}</tr>" for record in datarecords)
    page = f"{_legend() if legend else ''}<table width='100%'><tr>{header}</tr>{rows}</table>"
    try:
        from IPython.display import HTML, display
    except ImportError:
        return Page(page)
    shown = HTML(page)
    display(shown)
    return shown


def format_classname(classname: str | int) -> str:
    """A cell with a class's name.

    Args:
        classname: The name.

    Returns:
        HTML.
    """
    return f'<td><b style="padding-right: 2em">{html.escape(str(classname))}</b></td>'


def format_special_tokens(token: str) -> str:
    """Tokens in angle brackets, written in another way.

    Args:
        token: The token.

    Returns:
        ``"#pad"`` for ``"<pad>"``; other tokens as they are.
    """
    return f"#{token.strip('<>')}" if token.startswith("<") and token.endswith(">") else token


def format_tooltip(item: str, text: str) -> str:
    """An item with a text that appears over it.

    Args:
        item: HTML.
        text: HTML.

    Returns:
        HTML of the classes ``tooltip`` and ``tooltiptext``.
    """
    return f'<div class="tooltip">{item}<span class="tooltiptext">{text}</span></div>'


def format_word_importances(words: Sequence[str], importances: Sequence[float] | np.ndarray | Tensor) -> str:
    """A cell with words on the colors of their attributions.

    Args:
        words: The words.
        importances: One for each word, at least, in [-1, 1]; values beyond saturate.

    Returns:
        HTML; an empty cell where there are no attributions.

    Raises:
        ArgumentError: If there are more words than attributions, or one that is not finite.
    """
    if importances is None or len(importances) == 0:
        return "<td></td>"
    values = array(importances)
    if values.ndim != 1 or len(words) > len(values):
        raise ArgumentError(f"Expected an attribution for each of the {len(words)} words, got {tuple(values.shape)}.")
    marks = (
        f'<mark style="background-color: {_color(value)}; color: black; line-height: 1.75">'
        f" {html.escape(format_special_tokens(word))} </mark>"
        for word, value in zip(words, values.tolist(), strict=False)
    )
    return f"<td>{''.join(marks)}</td>"


def _cells(record: VisualizationDataRecord) -> str:
    named: tuple[str | int, ...] = (
        record.true_class,
        f"{record.pred_class} ({record.pred_prob:.2f})",
        record.attr_class,
        f"{record.attr_score:.2f}",
    )
    words = format_word_importances(record.raw_input_ids, record.word_attributions)
    return "".join(map(format_classname, named)) + words


def _legend() -> str:
    box = "display: inline-block; width: 10px; height: 10px; border: 1px solid; background-color:"
    boxes = "".join(f'<span style="{box} {_color(value)}"></span> {name} ' for value, name in _LEGEND)
    return f'<div style="border-top: 1px solid; margin-top: 5px; padding-top: 5px"><b>Legend: </b>{boxes}</div>'


def _color(value: float) -> str:
    if not math.isfinite(value):
        raise ArgumentError(f"Expected finite attributions of words, got {value}.")
    hue, fall = _GREEN if value > 0 else _RED
    return f"hsl({hue}, 75%, {100 - int(fall * min(abs(value), 1))}%)"
