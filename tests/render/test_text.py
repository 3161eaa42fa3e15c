import numpy as np
import pytest
from PIL import Image, ImageDraw

from lightning_explain.render import text as text_module
from lightning_explain.render.text import HEADLINE, NOTE, TITLE, line, line_width, paragraph, wrapped

STYLES = [HEADLINE, TITLE, NOTE]


def ink(block):
    return int((255 - block.astype(int)).sum())


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "text", ["sample_03 · label 7", "jÅgy|ÿ", "(98.1 %)", "f", "Ấ\u0301 ǺẪ", "x\u2009\N{MULTIPLICATION SIGN}"]
)
def test_a_line_holds_all_of_its_text(text, style):
    canvas = Image.new("L", (900, 200))
    font = text_module._font(style.size, style.bold)
    ImageDraw.Draw(canvas).text((300, 100), text, font=font, fill=255)
    shades = text_module._shades(style.color)
    assert ink(line(text, style)) == ink(shades[np.asarray(canvas)]) > 0
    assert line(text, style).shape[1] == line_width(text, style)


def test_lines_are_drawn_in_the_styles_color_on_white():
    block = line("HHH", NOTE)
    assert block.max() == 255
    assert tuple(block.reshape(-1, 3)[block.sum(axis=2).argmin()]) == NOTE.color
    assert not block.flags.writeable


@pytest.mark.parametrize(
    "text",
    [
        "sample_03 · label 7 · predicted 7 (98.1 %), insertion 0.71, deletion 0.12",
        "integrated_gradients@backbone.layer4.2.conv3",
        "Pneumonoultramicroscopicsilicovolcanoconiosis",
        "two\nlines of text",
    ],
)
@pytest.mark.parametrize("width", [30, 90, 132])
def test_wrapping_keeps_every_letter_within_the_width(text, width):
    lines = wrapped(text, width, TITLE)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(line_width(part, TITLE) <= width for part in lines)
    assert paragraph(text, width, TITLE).shape[1] <= width
    assert ink(paragraph(text, width, TITLE)) == sum(ink(line(part, TITLE)) for part in lines if part)


def test_lines_break_at_spaces_first_then_inside_of_names_and_never_inside_of_numbers():
    assert wrapped("score 0.7123 high", 60, TITLE) == ["score", "0.7123", "high"]
    assert wrapped("integrated_gradients", 100, TITLE) == ["integrated_", "gradients"]
    assert wrapped("grad_cam@net.layer4", 75, TITLE) == ["grad_cam@", "net.layer4"]
    assert wrapped("integrated_gradients", 200, TITLE) == ["integrated_gradients"]
    assert wrapped("one\n\ntwo", 200, TITLE) == ["one", "", "two"]


def test_a_width_below_one_letter_gives_one_letter_a_line():
    assert wrapped("abc", 1, TITLE) == ["a", "b", "c"]


def test_no_text_takes_no_space():
    assert paragraph("", 100, TITLE).size == 0


def test_lines_stand_below_each_other():
    one, two = paragraph("a", 100, TITLE), paragraph("a\nb", 100, TITLE)
    assert two.shape[0] == 2 * one.shape[0] + 1
