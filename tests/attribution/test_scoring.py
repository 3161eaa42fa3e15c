import torch
from torch import nn

from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.scoring import explained, replaced

X = torch.arange(6.0).view(3, 2)
IDS = torch.tensor([[7], [8], [9]])
ROWS = torch.tensor([2, 0, 2, 1])


def test_what_can_vary_is_replaced_and_the_rest_is_that_of_the_rows() -> None:
    problem = pose(nn.Identity(), {"ids": IDS, "x": X}, None, forward=lambda _, inputs: inputs["x"])
    z = torch.zeros(4, 2)
    given = replaced(problem, (z,), ROWS)
    assert list(given) == ["ids", "x"]
    assert given["ids"].flatten().tolist() == [9, 7, 9, 8]
    assert torch.equal(given["x"], z)
    given["x"].add_(1)  # a model may work in place
    assert not z.any()


def test_the_form_of_the_inputs_stays() -> None:
    for inputs in (X, (X, X + 1)):
        problem = pose(nn.Identity(), inputs, None, forward=lambda _, held: held if held is X else held[0])
        z = (X, X + 1)[: len(problem.varied)]
        assert type(replaced(problem, z, torch.arange(3))) is type(inputs)


def test_every_row_is_read_at_its_own_target() -> None:
    problem = pose(nn.Identity(), X, torch.tensor([[0], [1], [1]]))
    outputs = torch.arange(8.0).view(4, 2)
    assert explained(problem, outputs, ROWS).tolist() == [1, 2, 5, 7]
    alone = pose(nn.Identity(), X[:, :1], None)
    assert explained(alone, outputs[:, :1], ROWS).tolist() == [0, 2, 4, 6]


def test_the_number_is_read_as_the_problem_says() -> None:
    problem = pose(nn.Identity(), X, torch.tensor([[0], [1], [1]])).reading("probability")
    outputs = torch.zeros(4, 2)
    assert explained(problem, outputs, ROWS).tolist() == [0.5] * 4
