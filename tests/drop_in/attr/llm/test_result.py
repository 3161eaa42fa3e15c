import captum.attr
import numpy as np
import pytest
import torch
from captum.attr import ImageMaskInput as CaptumsImage
from matplotlib import pyplot
from PIL import Image

from lightning_explain.captum.attr._utils.interpretable_input import ImageMaskInput
from lightning_explain.captum.attr.llm.result import LLMAttributionResult

TOKENS = torch.tensor([[0.5, -1.0, 0.25], [0.1, 0.2, -0.6]])
MADE = {
    "input_tokens": ["the", "cat\n", "a" * 60],
    "output_tokens": ["sat", "on"],
    "seq_attr": TOKENS.sum(0),
    "token_attr": TOKENS,
    "output_probs": [0.25, 0.5],
}
PIXELS = np.random.default_rng(0).integers(0, 255, (6, 9, 3), dtype=np.uint8)
MASK = torch.arange(9).div(3, rounding_mode="floor").expand(6, 9)


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    pyplot.close("all")


def words(axes):
    return [text.get_text() for text in axes.texts], [label.get_text() for label in axes.get_xticklabels()]


def test_results_are_those_of_captum():
    ours, theirs = LLMAttributionResult(**MADE), captum.attr.LLMAttributionResult(**MADE)
    for name in ("seq_attr", "token_attr", "output_probs"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name))
    assert ours.seq_attr_dict == theirs.seq_attr_dict
    assert LLMAttributionResult(input_tokens=["a"], output_tokens=[], seq_attr=[1.0]).token_attr is None
    assert repr(ours).startswith("LLMAttributionResult(input_tokens=['the'")


def test_figures_of_tokens_are_those_of_captum():
    (figure, axes), (expected, others) = (
        kind(**MADE).plot_token_attr() for kind in (LLMAttributionResult, captum.attr.LLMAttributionResult)
    )
    one, other = axes.images[0], others.images[0]
    np.testing.assert_allclose(one.get_array(), other.get_array())
    assert one.get_clim() == other.get_clim()
    np.testing.assert_allclose(one.to_rgba(one.get_array()), other.to_rgba(other.get_array()))
    assert words(axes) == words(others)
    assert [text.get_color() for text in axes.texts] == [text.get_color() for text in others.texts]
    assert [label.get_text() for label in axes.get_yticklabels()] == MADE["output_tokens"]
    assert figure.get_size_inches().tolist() == expected.get_size_inches().tolist()


def test_figures_of_texts_are_those_of_captum():
    (_, axes), (_, others) = (
        kind(**MADE).plot_seq_attr() for kind in (LLMAttributionResult, captum.attr.LLMAttributionResult)
    )
    bars = {(bar.get_x(), bar.get_height(), bar.get_facecolor()) for bar in others.patches if bar.get_height()}
    assert {(bar.get_x(), bar.get_height(), bar.get_facecolor()) for bar in axes.patches} == bars
    assert words(axes) == words(others)
    assert axes.get_ylabel() == others.get_ylabel()


@pytest.mark.parametrize("position", [None, 1, (0, 2)])
def test_figures_over_images_are_those_of_captum(position):
    pytest.importorskip("scipy", reason="Captum's borders need scipy")
    image = Image.fromarray(PIXELS)
    made = {**MADE, "input_tokens": ["a", "b", "c"]}
    (_, axes), (_, others) = (
        kind(**made, inp=inp(image, MASK)).plot_image_heatmap(target_token_pos=position)
        for kind, inp in ((LLMAttributionResult, ImageMaskInput), (captum.attr.LLMAttributionResult, CaptumsImage))
    )
    assert len(axes.images) == len(others.images) == 5
    for one, other in zip(axes.images, others.images, strict=True):
        np.testing.assert_allclose(one.to_rgba(one.get_array()), other.to_rgba(other.get_array()), atol=6e-3)  # a shade
    assert words(axes)[0] == words(others)[0] == ["0", "1", "2"]


def test_zeros_are_white():
    zeros = LLMAttributionResult(**{**MADE, "token_attr": TOKENS * 0, "seq_attr": [0.0] * 3})
    image = zeros.plot_token_attr()[1].images[0]
    assert (image.to_rgba(image.get_array())[..., :3] > 0.99).all()
    zeros.plot_seq_attr()


def test_figures_are_shown(monkeypatch):
    shows = []
    monkeypatch.setattr(pyplot, "show", lambda: shows.append(True))
    result = LLMAttributionResult(**MADE, inp=ImageMaskInput(Image.fromarray(PIXELS), MASK))
    assert result.plot_token_attr(show=True) is result.plot_seq_attr(show=True) is None
    assert result.plot_image_heatmap(show=True, border_width=0, show_legends=False) is None
    assert len(shows) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seq_attr": [1.0]}, r"Expected seq_attr of shape \(3,\), got \(1,\)"),
        ({"token_attr": TOKENS.T}, r"Expected token_attr of shape \(2, 3\), got \(3, 2\)"),
        ({"output_probs": [[0.1]]}, r"Expected output_probs of shape \(2,\), got \(1, 1\)"),
    ],
)
def test_shapes_fit(change, message):
    with pytest.raises(AssertionError, match=message):
        LLMAttributionResult(**{**MADE, **change})


def test_what_is_not_there_is_not_drawn():
    result = LLMAttributionResult(**{**MADE, "token_attr": None})
    with pytest.raises(ValueError, match=r"of the whole text alone"):
        result.plot_token_attr()
    with pytest.raises(ValueError, match=r"Expected an ImageMaskInput as input, got NoneType"):
        result.plot_image_heatmap()
    image = LLMAttributionResult(**{**MADE, "token_attr": None}, inp=ImageMaskInput(Image.fromarray(PIXELS), MASK))
    with pytest.raises(ValueError, match=r"of the whole text alone"):
        image.plot_image_heatmap(target_token_pos=0)
