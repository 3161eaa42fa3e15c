"""What is said of a text that a language model writes: for each token of it, and for each feature of its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_explain.captum.attr._utils.interpretable_input import ImageMaskInput, InterpretableInput
from lightning_explain.captum.attr._utils.visualization.figure import show as show_figures
from lightning_explain.captum.attr.llm.figures import draw_image, draw_sequence, draw_tokens
from lightning_explain.captum.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Numbers = Tensor | Sequence[Any]


class LLMAttributionResult:
    """Attributions of a text that a language model writes.

    Args:
        input_tokens: The features of the input.
        output_tokens: The tokens of the text.
        seq_attr: Attributions of the whole text, (features,).
        token_attr: Attributions of its tokens, (tokens, features); None where there are none.
        output_probs: Their probabilities, (tokens,).
        inp: The input.

    Raises:
        ArgumentError: If shapes do not fit.
    """

    def __init__(
        self,
        *,
        input_tokens: list[str],
        output_tokens: list[str],
        seq_attr: Numbers,
        token_attr: Numbers | None = None,
        output_probs: Numbers | None = None,
        inp: InterpretableInput | None = None,
    ) -> None:
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens
        self.seq_attr = seq_attr
        self.token_attr = token_attr
        self.output_probs = output_probs
        self.inp = inp

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(input_tokens={self.input_tokens}, output_tokens={self.output_tokens},"
            f" seq_attr={self.seq_attr.tolist()})"
        )

    @property
    def seq_attr(self) -> Tensor:
        """Attributions of the whole text, (features,)."""
        return self._seq_attr

    @seq_attr.setter
    def seq_attr(self, given: Numbers) -> None:
        self._seq_attr = _shaped(given, (len(self.input_tokens),), "seq_attr")

    @property
    def token_attr(self) -> Tensor | None:
        """Attributions of each token, (tokens, features); None where there are none."""
        return self._token_attr

    @token_attr.setter
    def token_attr(self, given: Numbers | None) -> None:
        shape = (len(self.output_tokens), len(self.input_tokens))
        self._token_attr = None if given is None else _shaped(given, shape, "token_attr")

    @property
    def output_probs(self) -> Tensor | None:
        """Probabilities of the tokens, (tokens,); None where they were not given."""
        return self._output_probs

    @output_probs.setter
    def output_probs(self, given: Numbers | None) -> None:
        self._output_probs = None if given is None else _shaped(given, (len(self.output_tokens),), "output_probs")

    @property
    def seq_attr_dict(self) -> dict[str, float]:
        """Attributions of the whole text by feature; of features that read alike the last one's."""
        return dict(zip(self.input_tokens, self.seq_attr.tolist(), strict=True))

    def plot_token_attr(self, show: bool = False) -> tuple[Figure, Axes] | None:
        """Draw the attributions of each token: rows are tokens, columns are features.

        Args:
            show: Whether pyplot shows the figure.

        Returns:
            The figure and its axes; None if it was shown.

        Raises:
            ArgumentError: If there are none.
        """
        return _shown(draw_tokens(self._of_tokens(), self.input_tokens, self.output_tokens), show)

    def plot_seq_attr(self, show: bool = False) -> tuple[Figure, Axes] | None:
        """Draw the attributions of the whole text, a bar for each feature.

        Args:
            show: Whether pyplot shows the figure.

        Returns:
            The figure and its axes; None if it was shown.
        """
        return _shown(draw_sequence(self.seq_attr, self.input_tokens), show)

    def plot_image_heatmap(
        self,
        show: bool = False,
        target_token_pos: int | tuple[int, int] | None = None,
        border_width: int = 2,
        show_legends: bool = True,
    ) -> tuple[Figure, Axes] | None:
        """Draw attributions over the image that was the input.

        Args:
            show: Whether pyplot shows the figure.
            target_token_pos: Which token is meant, or those from the first number to before the second, summed; None:
                the whole text.
            border_width: Pixels of each region's border; 0 for none.
            show_legends: Whether the regions' numbers are written on them.

        Returns:
            The figure and its axes; None if it was shown.

        Raises:
            ArgumentError: If the input is no image, or there are no attributions of tokens.
        """
        if not isinstance(self.inp, ImageMaskInput):
            raise ArgumentError(f"Expected an ImageMaskInput as input, got {type(self.inp).__name__}.")
        if target_token_pos is None:
            attr = self.seq_attr
        elif isinstance(target_token_pos, int):
            attr = self._of_tokens()[target_token_pos]
        else:
            attr = self._of_tokens()[slice(*target_token_pos)].sum(dim=0)
        return _shown(draw_image(self.inp, attr, border_width, show_legends), show)

    def _of_tokens(self) -> Tensor:
        if self.token_attr is None:
            raise ArgumentError("There are attributions of the whole text alone, not of its tokens: use seq_attr.")
        return self.token_attr


def _shaped(given: Numbers, shape: tuple[int, ...], what: str) -> Tensor:
    tensor = given if isinstance(given, Tensor) else torch.tensor(given)
    if tuple(tensor.shape) != shape:
        raise ArgumentError(f"Expected {what} of shape {shape}, got {tuple(tensor.shape)}.")
    return tensor


def _shown(drawn: tuple[Figure, Axes], show: bool) -> tuple[Figure, Axes] | None:
    show_figures(show)
    return None if show else drawn
