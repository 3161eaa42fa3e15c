"""The README says what is true."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import lightning_explain
from lightning_explain import METHODS, METRICS, cli
from lightning_explain.gate import Gate

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


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_named(name):
    assert f"`{name}`" in README


def test_every_score_that_is_named_exists():
    """All of them are in ``docs/metrics.md``; the README has the most useful."""
    table = README.split("There are ")[1]
    assert table.startswith(f"{len(METRICS)} scores")
    named = re.findall(r"`(\w+)`", table.split("Each is a mean")[0])
    assert len(named) > 10
    assert set(named) <= set(METRICS)
    asked = re.findall(r"metrics=\[(.*?)\]", README)[0]
    assert {name.strip(' "') for name in asked.split(",")} <= set(METRICS)


def test_every_gate_and_the_audit_can_be_read(monkeypatch):
    """On a score that exists, and the audit on the files that the demo writes."""
    command = README.split("<!-- audit -->")[1].split("```")[1].split("\n")[1]
    arguments, read = shlex.split(command), []
    monkeypatch.setattr(cli, "_audit", lambda _, parsed: read.append(parsed) or 0)
    assert arguments[0] == "lightning-explain"
    assert cli.main(arguments[1:]) == 0
    parsed = read[0]
    gates = [*parsed.gate, *re.findall(r'"([^"\n]*(?:<=|>=|>|<)[^"\n]*)"', README.split("### Gate checkpoints")[1])]
    assert len(gates) >= 4
    for gate in gates:
        for condition in Gate.parse(gate).conditions:
            assert condition.score == "val_acc" or condition.score.split("/")[-1] in METRICS, gate
    out = README.split("<!-- demo -->")[1].split("--out ")[1].split()[0]
    written = (ROOT / "lightning_explain" / "demo" / "run.py").read_text()
    for path, folder in ((parsed.checkpoint, "shortcut"), (Path(parsed.probe), "shortcut")):
        assert path.parent == Path(out) / folder
        assert f'out / name / "{path.name}"' in written


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
