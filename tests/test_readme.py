"""The README says what is true."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import lightning_explain
from lightning_explain import METHODS, METRICS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


class Pictures(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential()
        self.backbone.conv1 = nn.Conv2d(3, 4, 3)
        self.head = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 5))

    def forward(self, x):
        return self.head(self.backbone(x))


def test_the_quickstart_is_the_example():
    assert BLOCKS[0] == (ROOT / "examples" / "example_quickstart.py").read_text()


@pytest.mark.parametrize("block", BLOCKS[1:], ids=lambda block: block.split("\n")[0][:40])
def test_every_other_block_runs(block):
    known = {name: getattr(lightning_explain, name) for name in lightning_explain.__all__}
    images, labels = torch.rand(40, 3, 10, 10), torch.arange(40) % 5
    watermark = torch.zeros(10, 10, dtype=torch.bool)
    watermark[:3] = True
    given = {"val_set": TensorDataset(images, labels), "watermark": watermark, "model": Pictures()}
    made = known | given | {"images": images[:4], "labels": labels[:4]}
    exec(block, made)
    if "probe =" in block:
        assert len(made["probe"]) == 32
        assert made["monitor"].probe is made["probe"]
    if "attribution =" in block:
        assert made["attribution"].values.shape == (4, 3, 10, 10)
        assert made["attribution"].delta.abs().max() < 0.1


@pytest.mark.parametrize("name", [*METHODS, *METRICS])
def test_every_method_and_score_is_named(name):
    assert f"`{name}`" in README


def test_ci_runs_the_lines_that_users_paste():
    for name in ("test", "demo"):
        block = README.split(f"<!-- {name} -->")[1].split("```")[1]
        assert [line[:15] for line in block.strip().splitlines()] == ["sh", "python3 -m venv"]
        assert f"readme {name}" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("page", [README, *((p.read_text()) for p in sorted((ROOT / "docs").glob("*.md")))])
def test_links_lead_somewhere_and_nothing_is_left_open(page):
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", page):
        assert (ROOT / link).exists() or (ROOT / "docs" / link).exists(), link
    assert not re.search(r"\b(TODO|FIXME|TBD|SECONDS|BENCH)\b", page)
