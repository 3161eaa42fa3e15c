"""The documentation says what is true: a page and a row for every metric, links that lead somewhere, code that runs."""

import ast
import inspect
import re
from pathlib import Path

import pytest
import test_suite

from lightning_explain.metrics import METRICS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CATALOGUE = (DOCS / "metrics.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| \[`(\w+)`\]\(metrics/(\w+)\.md\)([ ●★]*)\| (.*?) \|", CATALOGUE, re.MULTILINE)
COSTS = dict(re.findall(r"^\| \[`(\w+)`\](?:.*?\|){3} ([^|]*/[^|]*/[^|]*) \|", CATALOGUE, re.MULTILINE))
PAGES = sorted((DOCS / "metrics").glob("*.md"))
FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
HEADINGS = [
    "Definition",
    "Better and range",
    "Cost",
    "What its curve tells",
    "What fools it",
    "Parameters",
    "Differences",
    "Paper",
]
DIRECTION = {True: "up", False: "down", None: "–"}  # noqa: RUF001  (the sign of the table)
SENTENCE = {True: "Higher is better", False: "Lower is better", None: "Neither direction is better"}
FAMILIES = ("faithfulness", "robustness", "localisation", "complexity", "randomisation", "axiomatic", "over_time")


def page(name):
    return (DOCS / "metrics" / f"{name}.md").read_text(encoding="utf-8")


def section(name, heading):
    return page(name).split(f"\n## {heading}\n")[1].split("\n## ")[0]


def anchors(text):
    """What GitHub calls the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_metric_has_one_page_and_one_row():
    assert sorted(METRICS) == sorted(path.stem for path in PAGES)
    assert sorted(METRICS) == sorted(name for name, *_ in ROWS)
    assert [name for name, *_ in ROWS] == [link for _, link, *_ in ROWS]


@pytest.mark.parametrize("name", METRICS)
def test_a_page_has_the_headings_in_order(name):
    text = page(name)
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
    assert all(section(name, heading).strip() for heading in HEADINGS)


@pytest.mark.parametrize(("name", "marks", "better"), [(name, marks, better) for name, _, marks, better in ROWS])
def test_the_catalogue_says_what_the_class_says(name, marks, better):
    metric = METRICS[name]()
    assert better.split()[0] == DIRECTION[metric.higher_is_better]
    assert ("●" in marks) == metric.yardstick
    assert ("★" in marks) == metric.default


@pytest.mark.parametrize("name", METRICS)
def test_the_catalogue_says_the_rows_that_are_counted(name):
    """For each method, once for a place, once in a run: what ``tests/test_suite.py`` counts."""
    patches = test_suite.SEGMENTS if name == "irof" else test_suite.PATCHES
    known = {"E": 7, "T": test_suite.POINTS, "P": patches, "L": test_suite.LAYERS}
    told = []
    for cell in COSTS[name].split(" / "):
        formula = re.sub(r"(?<=[\w)])(?=[A-Z(])", "*", cell.strip("$"))
        told.append(eval(formula, {}, known))
    method = test_suite.CURVES.get(name, 0) + test_suite.EXPLAINS.get(name, 0) * known["E"]
    method += (known["E"] + 1) * (name == "focus")
    place = test_suite.SHARED.get(name, 0) + (name in test_suite.ENDS) + int(test_suite.PLACES.get(name, 0))
    assert told == [method, place, (known["E"] + 1) * (name in test_suite.ONCE)]


@pytest.mark.parametrize("name", METRICS)
def test_a_page_says_the_direction_and_the_parameters(name):
    metric = METRICS[name]()
    directions = re.findall(r"Higher is better|Lower is better|Neither direction is better", page(name))
    assert directions[0] == SENTENCE[metric.higher_is_better]
    for parameter in inspect.signature(METRICS[name]).parameters.values():
        if parameter.kind is not parameter.VAR_KEYWORD:
            documented = re.search(rf"`{parameter.name}(?:=([^`]+)`|` \(([^):,;]+))", section(name, "Parameters"))
            assert documented or f"`{parameter.name}`" in section(name, "Parameters"), parameter.name
            default = parameter.default
            if documented and isinstance(default, (bool, int, float, str, type(None))):
                told = ast.literal_eval((documented.group(1) or documented.group(2)).strip("`"))
                assert told == default, (parameter.name, told, default)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_stands_in_the_table_of_its_family(name):
    tables = re.split(r"^### ", CATALOGUE.split("## All scores")[1].split("\n## ")[0], flags=re.MULTILINE)[1:]
    assert len(tables) == len(FAMILIES)
    table = next(table for table in tables if f"[`{name}`]" in table)
    assert METRICS[name].__module__.split(".")[2] == FAMILIES[tables.index(table)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path):
    for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", path.read_text(encoding="utf-8")):
        file, _, anchor = link.partition("#")
        aim = (path.parent / file).resolve() if file else path
        assert aim.exists(), link
        assert not anchor or anchor in anchors(aim.read_text(encoding="utf-8")), link


def test_every_test_that_the_documentation_names_exists():
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = {name for path in FILES for name in re.findall(r"`(test_\w+)`", path.read_text(encoding="utf-8"))}
    assert len(named) > 30
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []


def test_the_metric_that_the_how_to_writes_works(monkeypatch, capsys):
    blocks = re.findall(
        r"```python\n(.*?)```", (DOCS / "how-to" / "write-a-metric.md").read_text(encoding="utf-8"), re.DOTALL
    )
    monkeypatch.setattr(METRICS, "_classes", dict(METRICS))  # the other tests do not see it
    made = {"__name__": "a_users_module"}
    for block in blocks:
        exec(block, made)
    assert METRICS["positive_share"] is made["PositiveShare"]
    torch, share = made["torch"], made["positive_share"]
    scores = torch.tensor([[1.0, -3.0], [0.0, 0.0], [torch.inf, 1.0]])
    assert share(scores).nan_to_num(-1).tolist() == [0.25, -1, -1]
    assert re.fullmatch(r"0\.\d\d \[0\.\d\d, [01]\.\d\d\], n = 8\n", capsys.readouterr().out)
