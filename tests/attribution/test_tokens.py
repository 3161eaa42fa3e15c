import pytest
import torch

from lightning_explain.attribution.tokens import TokenGrid

PICTURE = torch.zeros(1, 3, 224, 224)


@pytest.mark.parametrize(
    ("tokens", "inputs", "sides", "expected"),
    [
        (197, (PICTURE,), None, TokenGrid(1, (14, 14))),
        (196, (PICTURE,), None, TokenGrid(0, (14, 14))),
        (198, (PICTURE,), None, TokenGrid(2, (14, 14))),
        (261, (PICTURE,), None, TokenGrid(5, (16, 16))),  # patches of 14, a class token, four registers
        (50, (PICTURE,), None, TokenGrid(1, (7, 7))),
        (25, (torch.zeros(2, 1, 8, 12),), None, TokenGrid(1, (4, 6))),
        (25, (torch.zeros(2, 7), torch.zeros(2, 1, 8, 12)), None, TokenGrid(1, (4, 6))),
        (300, (PICTURE,), None, None),
        (197, (torch.zeros(1, 197, 8),), None, None),
        (197, (), (14, 14), TokenGrid(1, (14, 14))),
        (30, (PICTURE,), (5, 5), TokenGrid(5, (5, 5))),
    ],
)
def test_the_grid_that_the_tokens_were_cut_from(
    tokens: int, inputs: tuple[torch.Tensor, ...], sides: tuple[int, ...] | None, expected: TokenGrid | None
) -> None:
    assert TokenGrid.find(tokens, inputs, sides) == expected


def test_the_tokens_are_laid_row_by_row() -> None:
    tokens = torch.arange(7).view(1, 1, 7)
    assert TokenGrid(1, (2, 3)).lay(tokens).tolist() == [[[[1, 2, 3], [4, 5, 6]]]]


def test_a_grid_has_no_more_tokens_than_there_are() -> None:
    with pytest.raises(ValueError, match=r"A grid of \(2, 3\) holds 6 tokens; the layer has 5"):
        TokenGrid.find(5, (), (2, 3))
