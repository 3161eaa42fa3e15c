"""Run Captum 0.3.1's tests against our names, or against the installed Captum.

Run: ``python -m tests.conformance --suite PATH [--against captum] [-k lime]`` from the repository's root; PATH is the
source distribution, packed or not. Exits with 1 if a test fails that is not listed, or a listed one passes.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.suite import FOLDERS, VARIABLE, outcomes
from conformance.verdict import Verdict, judge

COLUMNS = ("passed", "failed", "skipped", "private", "not counted")


def table(verdict: Verdict) -> str:
    lines = [f"{'':52}" + "".join(f"{column:>13}" for column in COLUMNS)]
    for file, count in sorted(verdict.counts.items()):
        lines.append(f"{file.removeprefix('tests/'):52}" + "".join(f"{count[column] or '':>13}" for column in COLUMNS))
    lines += [f"{part}: {100 * verdict.share(part):.1f} % pass" for part in FOLDERS if verdict.share(part) >= 0]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", type=Path, default=os.environ.get(VARIABLE), help=f"default: ${VARIABLE}")
    parser.add_argument("--against", choices=("captum", "ours"), default="ours")
    parser.add_argument("-k", dest="chosen", help="only some tests, as in pytest")
    given = parser.parse_args()
    if given.suite is None:
        parser.error(f"no tests: give --suite, or set {VARIABLE}")
    seen = outcomes(Path(given.suite), given.against, ("-k", given.chosen) if given.chosen else ())
    verdict = judge(seen, given.against, whole=not given.chosen)
    print(table(verdict))
    for test, message in verdict.new.items():
        print(f"\nfails, and is not listed: {test}\n{message[-1500:]}")
    for test in verdict.stale:
        print(f"is listed, and does not fail: {test}")
    return 0 if verdict.accepted else 1


if __name__ == "__main__":
    sys.exit(main())
