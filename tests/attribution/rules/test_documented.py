"""The documentation lists exactly the operators that have rules."""

import re
from pathlib import Path

import pytest

from lightning_explain.attribution.rules.composites import COMPOSITES
from lightning_explain.attribution.rules.compositions import COMPOSITIONS
from lightning_explain.attribution.rules.multipliers import MULTIPLIERS
from lightning_explain.attribution.rules.propagation import STEPS
from lightning_explain.attribution.rules.rectified import GUIDED

PAGE = (Path(__file__).parents[3] / "docs" / "methods.md").read_text()


def listed(section: str, first: str) -> set[str]:
    """The names in the first column of the table whose header begins with ``first``."""
    (_, body) = PAGE.split(f"\n{section}\n", 1)
    (_, table) = body.split(f"| {first} ", 1)
    rows = table.split("\n\n", 1)[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split(" | ")[0])}


@pytest.mark.parametrize(
    ("section", "rules"),
    [
        ("### DeepLift", MULTIPLIERS),
        ("### Guided backprop, deconvolution, guided Grad-CAM", GUIDED),
        ("### LRP", STEPS),
    ],
)
def test_every_operator_with_a_rule_is_listed(section: str, rules: dict) -> None:
    assert listed(section, "operators") == set(rules)


def test_every_composition_is_listed() -> None:
    (row,) = re.findall(r"whose rules they follow: (.*)\.\n", PAGE)
    assert set(re.findall(r"`(\w+)`", row)) == set(COMPOSITIONS)


@pytest.mark.parametrize("name", COMPOSITES)
def test_every_composite_is_named(name: str) -> None:
    assert f"`{name}`" in PAGE.split("### LRP")[1]
