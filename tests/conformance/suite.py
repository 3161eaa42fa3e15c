"""Runs Captum's tests in a process of their own."""

import contextlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from conformance.port import ported

ROOT = Path(__file__).parents[2]
VARIABLE = "LIGHTNING_EXPLAIN_CAPTUM_TESTS"
FOLDERS = ("attr", "metrics", "robust")  # 0.3.1 has no tests of robust: they count where a suite has them


@contextlib.contextmanager
def unpacked(suite: Path) -> Iterator[Path]:
    """The folder of a source distribution, given as folder or as archive."""
    if suite.is_dir():
        yield suite
        return
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(suite) as archive:
            archive.extractall(folder, filter="data")
        yield next(Path(folder).iterdir())


def outcomes(suite: Path, against: str, only: tuple[str, ...] = ()) -> dict[str, tuple[str, str]]:
    """What became of each test: ``passed``, ``failed``, ``skipped`` or ``private``, and why.

    Args:
        suite: the source distribution of Captum 0.3.1, packed or not.
        against: ``"ours"``, or ``"captum"``: the installed Captum itself.
        only: more arguments of pytest, such as ``-k lime``.

    Raises:
        RuntimeError: pytest did not get as far as to run tests.
    """
    with unpacked(suite) as folder, tempfile.TemporaryDirectory() as place:
        tests, written = ported(folder, Path(place)), Path(place) / "outcomes.json"
        (Path(place) / "pytest.ini").write_text("[pytest]\n")  # not this repository's settings
        folders = [f"tests/{name}" for name in FOLDERS if (tests / name).is_dir()]
        options = ["-p", "conformance.plugin", "--against", against, "--outcomes", str(written)]
        # It has tests for several GPUs alone, and takes a port to say so.
        options.append("--ignore=tests/attr/test_data_parallel.py")
        quiet = ["-q", "-p", "no:cacheprovider", "-W", "ignore", "--tb=short", "--continue-on-collection-errors"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *folders, *options, *quiet, *only],
            cwd=place,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT)])},
            capture_output=True,
            text=True,
            check=False,
        )
        if not written.exists():
            raise RuntimeError(f"Captum's tests did not run: {(done.stdout + done.stderr)[-2000:]}")
        return {test: tuple(seen) for test, seen in json.loads(written.read_text()).items()}
