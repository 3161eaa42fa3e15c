import json
from dataclasses import replace

import pytest
import torch

from tests.benchmarks import attribution, claims, memory, replicated, table
from tests.benchmarks.cases import FAMILIES, all_cases
from tests.benchmarks.cases.gradients import gradient_cases
from tests.benchmarks.cases.layers import layer_cases
from tests.benchmarks.cases.maps import map_cases
from tests.benchmarks.clock import in_turns
from tests.benchmarks.measure import Costs, measure
from tests.benchmarks.networks import NETWORKS, Scale, residual, transformer

SCALE = Scale(steps=8, noise=2, orders=2, samples=8, masks=4, few=3, per_side=4)
CHUNKS = (8, 16)
SMALL = {
    "residual": lambda: replace(residual(batch=2, scale=SCALE, width=4), chunks=CHUNKS),
    "transformer": lambda: replace(
        transformer(batch=2, scale=SCALE, words=20, tokens=8, width=16, depth=2, heads=2), chunks=CHUNKS
    ),
}
ROUNDING = 1e-4
KINKS = 1e-2
"""By norm: where rounding puts a unit on the other side, its gradient is another."""

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("name", "families"), [("transformer", FAMILIES), ("residual", (gradient_cases, layer_cases, map_cases))]
)
def test_every_line_of_a_network_is_measured(name, families):
    network = SMALL[name]()
    costs = Costs(network)
    records = [measure(network, case, costs, patience=0) for family in families for case in family(network)]
    text = table.methods(network.title, json.loads(json.dumps(records)))
    assert text.count("\n|") == len(records) + 2
    assert all(f"| `{record['method']}` |" in text for record in records)
    assert all(record["seconds"] > 0 and record["limit"] > 0 for record in records)
    assert all(len(table.line(record)) == len(table.HEADS) for record in records)
    same = {record["method"]: record["agrees"] for record in records}
    for method in ("saliency", "integrated_gradients", "integrated_gradients@late", "feature_ablation@late"):
        assert float(same[method]) < ROUNDING, f"{method} differs from Captum's by {same[method]}"


def test_the_most_that_anybody_can_be_ahead_is_the_limit_against_the_best_of_captum():
    rows = {"stem": [0, 2], "head": [0, 2]}
    record = {"method": "m", "rows": rows, "seconds": 2.0, "wall": 2.0, "limit": 1.5, "agrees": "-", "note": ""}
    assert dict(zip(table.HEADS, table.line(record), strict=True))["most"] == "-"
    record |= {"captum": 9.0, "tuned": 3.0, "at": 64}
    assert dict(zip(table.HEADS, table.line(record), strict=True))["most"] == "2.00 ×"


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("transformer", replicated.METHODS),
        ("residual", ("integrated_gradients", "deep_lift_shap", "feature_ablation", "conductance@late")),
    ],
)
def test_every_line_with_a_replica_is_measured(name, chosen):
    network = SMALL[name]()
    cases = {case.name: case for case in replicated.cases(network)}
    assert cases.keys() == set(replicated.METHODS)
    measured = replicated.measuring(network, patience=0)
    records = json.loads(json.dumps([measured(cases[name]) for name in chosen]))
    text = replicated.text(network.title, records)
    assert text.count("\n|") == len(records) + 2
    for record in records:
        assert record["tuned"] > 0
        assert all(seconds > 0 for seconds in record["seconds"].values())
        assert len(replicated.line(record)) == len(replicated.HEADS)
        assert record["off"]["replica"] < KINKS, f"{record['method']} is another with a replica"
        assert record["off"]["bfloat16"] > 0 or record["instead"]["bfloat16"]
        assert record["instead"]["replica"] == ("" if network.with_pictures else replicated.ITSELF)
    assert (replicated.ITSELF in text) != network.with_pictures


def test_a_replica_that_is_refused_is_said_to_be(monkeypatch):
    monkeypatch.setattr(replicated, "replicated", lambda problem, _: (problem, "its gradient is off by 7"))
    network = SMALL["residual"]()
    case = next(case for case in replicated.cases(network) if case.name == "occlusion")
    record = replicated.measure(network, replace(case, theirs=None), patience=0)
    cells = dict(zip(replicated.HEADS, replicated.line(record), strict=True))
    assert cells["replica"].endswith(" (refused)")
    assert replicated.text(network.title, [record, record]).count("replica refused: its gradient is off by 7.") == 1
    assert cells["replica off by"] == cells["ahead"] == cells["tuned"] == "-"


def test_the_limit_counts_rows_in_front_of_the_layer_and_behind_it():
    network = SMALL["residual"]()
    by_name = {case.name: case for case in all_cases(network)}
    costs = Costs(network)
    rows = measure(network, by_name["activation@late"], costs, patience=0)["rows"]
    assert rows["stem"][0] >= 2
    deep = measure(network, by_name["integrated_gradients"], costs, patience=0)["rows"]
    assert deep["head"][1] == deep["stem"][1] == 2 * SCALE.steps


def test_a_run_goes_on_where_it_was_cut_off(tmp_path, monkeypatch, capsys):
    made = []
    monkeypatch.setitem(NETWORKS, "residual", lambda: made.append(1) or SMALL["residual"]())
    command = ["--network", "residual", "--method", "input_x", "--patience", "0", "--out", str(tmp_path)]
    attribution.main(command)
    first = (tmp_path / "residual.jsonl").read_text()
    assert {json.loads(line)["method"] for line in first.splitlines()} == {
        "input_x_gradient",
        "input_x_gradient@late",
    }
    attribution.main(command)
    assert (tmp_path / "residual.jsonl").read_text() == first
    assert "| `input_x_gradient@late` |" in (tmp_path / "residual.md").read_text()
    assert "Captum" in capsys.readouterr().out


def test_the_table_with_a_replica_is_a_part_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(NETWORKS, "residual", SMALL["residual"])
    command = ["--network", "residual-replica", "--method", "occlusion", "--patience", "0", "--out", str(tmp_path)]
    attribution.main(command)
    attribution.main(command)
    assert len((tmp_path / "residual-replica.jsonl").read_text().splitlines()) == 1
    assert "| `occlusion` |" in (tmp_path / "residual-replica.md").read_text()
    assert "with a replica" in capsys.readouterr().out
    assert {"residual", "residual-replica"} <= set(attribution.parsed([]).network)


def test_a_network_that_is_not_installed_is_named(monkeypatch):
    def missing():
        raise ImportError("No module named 'efficientnet_lite_pytorch'")

    monkeypatch.setitem(NETWORKS, "efficientnet", missing)
    arguments = attribution.parsed(["--network", "efficientnet"])
    text = attribution.run_part("efficientnet", arguments, attribution.Kept(None, "efficientnet"))
    assert "No module named 'efficientnet_lite_pytorch'" in text
    assert "[benchmark]" in text


def test_the_peak_is_that_of_what_lives_at_once():
    def one_after_the_other(times):
        for _ in range(times):
            torch.zeros(1000)

    def together(times):
        return [torch.zeros(1000) for _ in range(times)]

    assert memory.peak(lambda: one_after_the_other(3)) == memory.peak(lambda: one_after_the_other(30)) >= 4000
    assert memory.peak(lambda: together(30)) >= 30 * 4000


def test_memory_is_a_line_for_each_method():
    work = memory.lines(width=4)["integrated_gradients@late"]
    record = {"method": "integrated_gradients@late"} | work()
    assert abs(record["tenfold"] / record["once"] - 1) < 0.1
    assert "| `integrated_gradients@late` |" in memory.text([record])


def test_claims_are_measured():
    steps = {"method": "residual network, 10%"} | claims.by_tolerance(SMALL["residual"], 0.5)()
    assert steps["reached"] <= 0.5
    name, work = next(iter(claims.loops().items()))
    text = claims.text([steps, {"method": name} | work()])
    assert "residual network, 10%" in text
    assert name in text


def test_turns_end_with_patience():
    calls = []
    best, turns = in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, patience=0)
    assert calls == ["a", "b"] * turns
    assert turns == 1
    assert set(best) == {"a", "b"}
    assert in_turns({"a": lambda: None}, patience=100, most=3)[1] == 3


def test_contestants_that_cannot_be_done_are_left_out():
    def fails():
        raise ValueError("no such argument")

    best, turns = in_turns({"a": lambda: None, "b": fails}, patience=100, most=2, may_fail={"b"})
    assert set(best) == {"a"}
    assert turns == 2
    with pytest.raises(ValueError, match="no such argument"):
        in_turns({"b": fails})
