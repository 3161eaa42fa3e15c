import pytest
import torch

from lightning_explain.attribution.budget import RowBudget
from lightning_explain.captum.bar import bar


def test_it_counts_the_rows_of_all_pieces_of_work(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("Some Method attribution") as tell:
        budget = RowBudget(2, tell)
        for total in (3, 0, 4):
            budget.run(total, "forward", lambda _: None)
    said = capsys.readouterr()
    assert "Some Method attribution: 100%" in said.err
    assert "7/7" in said.err
    assert not said.out


def test_without_a_title_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("") as tell:
        assert tell is None
    assert not capsys.readouterr().err


def test_it_ends_where_the_work_fails(capsys: pytest.CaptureFixture[str]) -> None:
    def body(rows: slice) -> None:
        if rows.start:
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"), bar("Some Method attribution") as tell:
        RowBudget(2, tell).run(4, "forward", body)
    assert "2/4" in capsys.readouterr().err
    assert torch.is_grad_enabled()
