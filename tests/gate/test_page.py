"""``docs/gates.md`` says what is true."""

import re
from pathlib import Path

import pytest

from lightning_explain.gate import Gate, History, Value, parser

PAGE = (Path(__file__).parents[2] / "docs" / "gates.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```text\n(.+)\n```\n\n> (Gate .+)$", PAGE, re.MULTILINE)
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SRG, MASS, LINE = "attribution/saliency/srg", "attribution/saliency/relevance_mass", "attribution/random/srg"
VALUES = {
    SRG: Value(
        0.12,
        0.02,
        32,
        low=0.08,
        high=0.16,
        higher_is_better=True,
        advantage=0.02,
        advantage_low=-0.01,
        advantage_high=0.05,
    ),
    LINE: Value(0.10, 0.03, 32, low=0.04, high=0.15, higher_is_better=True),
    MASS: Value(1.8, 0.2, 32, low=1.4, high=2.2, higher_is_better=True),
    "val_acc": Value(0.93),
}
HISTORY = History({SRG: 0.15}, {f"{MASS} >= 1.5": 1})


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize(("gate", "sentence"), EXAMPLES)
def test_examples(gate: str, sentence: str) -> None:
    verdict = Gate.parse(gate).judge(VALUES, step=63, validation=5, yardsticks={SRG: LINE}, history=HISTORY)
    assert verdict.sentence == sentence


def test_grammar_is_the_parsers() -> None:
    documented = re.search(r"### The grammar\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    assert documented is not None
    assert " ".join(documented.group(1).split()) in " ".join((parser.__doc__ or "").split())


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n")[0][:40])
def test_code_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(block, {})
    printed = capsys.readouterr().out
    if "print" in block:
        assert [line.split(":")[0] for line in printed.splitlines()] == [
            "Gate closed at step 100",
            "Gate open at step 200",
        ]
