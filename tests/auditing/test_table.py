import runs

from lightning_explain import audit
from lightning_explain.auditing.table import table

SRG = "attribution/saliency/srg"


def test_the_table_has_a_row_for_each_score(watched_run):
    _, module, _ = watched_run
    found = audit(module, runs.probe(), f"{SRG} >= -2")
    lines = table(found).splitlines()
    assert lines[0].split() == ["score", "mean", "95", "%", "interval", "n", "skill"]
    assert [line.split()[0] for line in lines[1:3]] == [SRG, "attribution/random/srg"]
    assert lines[1].split()[1] == f"{found.scores[SRG].mean:.4g}"
    assert lines[-1] == found.verdict.sentence
