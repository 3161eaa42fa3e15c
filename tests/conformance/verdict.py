"""Compares what became of Captum's tests with what is known of them."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Two tables, test -> reason: "captum", which fail on Captum 0.9.0 itself and so say nothing about anybody else; and
# "ours", which fail here and pass there. docs/captum.md shows the second.
KNOWN = json.loads(Path(__file__).with_name("known.json").read_text(encoding="utf-8"))

# How a reason begins where a processor's rounding decides: such a test passes on some.
BY_ROUNDING = "float32: "


def family(test: str) -> str:
    return test.split("/")[1]


@dataclass(frozen=True)
class Verdict:
    """What became of the tests.

    Attributes:
        counts: how many tests of a file passed, failed, were skipped, are of private helpers or not counted.
        new: tests that fail without being listed, and the end of what they say.
        stale: listed tests that pass, but for those that rounding decides, or are no more.
    """

    counts: Mapping[str, Counter]
    new: Mapping[str, str]
    stale: tuple[str, ...]

    def share(self, part: str) -> float:
        """Share of the counted tests of ``attr``, ``metrics`` or ``robust`` that pass; NaN where there are none."""
        files = [count for file, count in self.counts.items() if family(file) == part]
        passed, failed = (sum(count[outcome] for count in files) for outcome in ("passed", "failed"))
        return passed / (passed + failed) if passed + failed else float("nan")

    @property
    def accepted(self) -> bool:
        return not self.new and not self.stale


def judge(seen: Mapping[str, tuple[str, str]], against: str, whole: bool = True) -> Verdict:
    """Compare outcomes with the lists; ``whole`` says that all tests were to run."""
    uncounted, listed = (KNOWN["captum"] if against == "ours" else {}), KNOWN[against]
    counts: dict[str, Counter] = {}
    for test, (outcome, _) in seen.items():
        counted = "not counted" if test in uncounted else outcome
        counts.setdefault(test.split("::")[0], Counter())[counted] += 1
    failed = {
        test: message for test, (outcome, message) in seen.items() if outcome == "failed" and test not in uncounted
    }
    new = {test: message for test, message in failed.items() if test not in listed}
    stale = [test for test in listed if test not in failed and (whole or test in seen)]
    stale = [test for test in stale if test not in seen or not listed[test].startswith(BY_ROUNDING)]
    return Verdict(counts, new, tuple(stale))
