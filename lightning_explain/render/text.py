"""Text as blocks of pixels, wrapped so that it fits."""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lightning_explain.render.layout import BACKGROUND, EMPTY, table

# Long names break behind these, as they are written in method and layer names; a point between digits is no end.
_BREAKS = re.compile(r"(?<=[_/@\-])(?=\w)|(?<=\.)(?=[A-Za-z])")


@dataclass(frozen=True)
class Style:
    """How text looks.

    Args:
        size: Font size in pixels.
        color: Red, green, blue.
        bold: Whether it is bold.
    """

    size: int
    color: tuple[int, int, int]
    bold: bool = False


HEADLINE = Style(13, (24, 26, 31), bold=True)
TITLE = Style(12, (24, 26, 31))
NOTE = Style(11, (92, 97, 107))


def paragraph(text: str, width: int, style: Style) -> np.ndarray:
    """Draw text in lines no wider than ``width``, all of it.

    Returns:
        A block as small as the text; ``EMPTY`` without text.
    """
    lines = wrapped(text, width, style)
    return table([[line(part, style)] for part in lines], (1, 0), [0.0] * len(lines)) if lines else EMPTY


@lru_cache(maxsize=1024)
def line(text: str, style: Style) -> np.ndarray:
    """Draw one line of text.

    Returns:
        A read-only block that holds every pixel of the text.
    """
    font = _font(style.size, style.bold)
    left, top, right, bottom = (round(side) for side in font.getbbox(text))
    ascent, descent = font.getmetrics()
    # Accents may rise over the ascent, and slanted letters begin left of zero.
    x, y = max(0, -left), max(0, -top)
    mask = Image.new("L", (max(1, right + x), max(ascent + descent, bottom) + y))
    ImageDraw.Draw(mask).text((x, y), text, font=font, fill=255)
    block: np.ndarray = _shades(style.color)[np.asarray(mask)]
    block.flags.writeable = False
    return block


def wrapped(text: str, width: int, style: Style) -> list[str]:
    """Break text into lines: at spaces, else inside of long names, else anywhere.

    Returns:
        The lines; none is wider than ``width``, unless that is less than one letter.
    """
    lines: list[str] = []
    for source in text.splitlines():
        current = ""
        for glue, piece in _pieces(source, width, style):
            longer = current + glue * bool(current) + piece
            if current and line_width(longer, style) > width:
                lines.append(current)
                longer = piece
            current = longer
        lines.append(current)
    return lines


@lru_cache(maxsize=4096)
def line_width(text: str, style: Style) -> int:
    """Width of one line of text.

    Returns:
        Pixels, as :func:`line` draws it.
    """
    left, _, right, _ = _font(style.size, style.bold).getbbox(text)
    return max(1, round(right) + max(0, -round(left)))


def _pieces(source: str, width: int, style: Style) -> list[tuple[str, str]]:
    # What may stand on a line of its own, each with what joins it to the piece before.
    pieces = []
    for word in source.split():
        glue = " "
        for part in _BREAKS.split(word) if line_width(word, style) > width else [word]:
            for piece in part if line_width(part, style) > width else [part]:
                pieces.append((glue, piece))
                glue = ""
    return pieces


@cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


@cache
def _shades(color: tuple[int, int, int]) -> np.ndarray:
    ink = np.linspace(0.0, 1.0, 256)[:, None]
    shades: np.ndarray = np.rint(ink * np.array(color) + (1 - ink) * BACKGROUND).astype(np.uint8)
    return shades
