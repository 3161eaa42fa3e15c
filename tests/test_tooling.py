"""The checks that keep the code as it is: they run, and they do fail."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command, cwd=ROOT):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=280)
    return done.returncode, done.stdout + done.stderr


def module(name, *arguments, cwd=ROOT):
    return run(sys.executable, "-m", name, *arguments, cwd=cwd)


@pytest.fixture
def copy(tmp_path):
    """The repository's configuration and package, to plant something in."""
    package = tmp_path / "lightning_explain"
    shutil.copytree(ROOT / "lightning_explain", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_ruff():
    status, printed = module("ruff", "check", ".")
    assert status == 0, printed


def test_ruff_format():
    status, printed = module("ruff", "format", "--check", ".")
    assert status == 0, printed


def test_mypy():
    status, printed = module("mypy")
    assert status == 0, printed


def test_import_contracts():
    status, printed = run(str(Path(sys.executable).with_name("lint-imports")))
    assert status == 0, printed


@pytest.mark.parametrize(
    ("file", "line", "finding"),
    [
        ("gate/gate.py", "def f(x): return eval(x)\n", "ANN201"),
        ("gate/gate.py", "def f(x: int) -> int:\n    assert x\n    return x\n", "S101"),
        ("suite.py", "print('x')\n", "T201"),
    ],
)
def test_ruff_finds_what_is_planted(copy, file, line, finding):
    with (copy / "lightning_explain" / file).open("a") as code:
        code.write("\n\n" + line)
    status, printed = module("ruff", "check", "--output-format", "json", "lightning_explain", cwd=copy)
    assert status == 1
    assert f'"{finding}"' in printed


def test_ruff_finds_a_planted_complexity(copy):
    branches = "".join(f"    if x == {i}:\n        x += 1\n" for i in range(9))
    code = f'"""D."""\n\n\ndef f(x: int) -> int:\n    """D."""\n{branches}    return x\n'
    (copy / "lightning_explain" / "planted.py").write_text(code)
    status, printed = module("ruff", "check", "--output-format", "json", "lightning_explain/planted.py", cwd=copy)
    assert status == 1
    assert '"C901"' in printed


def test_mypy_finds_what_is_planted(copy):
    code = '"""D."""\n\nx: int = "a"\n\n\ndef f(y):\n    return y\n'
    (copy / "lightning_explain" / "planted.py").write_text(code)
    status, printed = module("mypy", "--follow-imports=skip", "lightning_explain/planted.py", cwd=copy)
    assert status == 1
    assert "Incompatible types in assignment" in printed
    assert "missing a type annotation" in printed


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("attribution/problem.py", "import lightning_explain.callback", "data flows one way BROKEN"),
        ("attribution/budget.py", "import torchmetrics", "the engine knows neither"),
        ("metrics/ranks.py", "import lightning", "only the callbacks know the trainer"),
        ("gate/gate.py", "import torch", "conditions and names need no tensors"),
    ],
)
def test_import_contracts_find_what_is_planted(copy, file, line, contract):
    with (copy / "lightning_explain" / file).open("a") as code:
        code.write(f"\n{line}\n")
    status, printed = run(str(Path(sys.executable).with_name("lint-imports")), "--no-cache", cwd=copy)
    assert status == 1
    assert contract in printed
    assert "BROKEN" in printed


def test_doctests_are_run_and_fail(tmp_path):
    (tmp_path / "planted.py").write_text('"""D.\n\n>>> 1 + 1\n3\n"""\n')
    configuration = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", ".")
    status, printed = module("pytest", "-q", *configuration, "planted.py", cwd=tmp_path)
    assert status == 1
    assert "Expected:" in printed


class TestImport:
    def python(self, code):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def test_nothing_is_imported_before_it_is_used(self):
        self.python(
            "import sys, lightning_explain\n"
            "assert not {'torch', 'lightning', 'numpy', 'matplotlib', 'tensorboard'} & set(sys.modules)\n"
        )

    def test_the_engine_does_not_load_lightning(self):
        self.python(
            "import sys; from lightning_explain import explain, ProbeSet, METHODS\n"
            "assert not {'lightning', 'torchmetrics', 'matplotlib', 'tensorboard'} & set(sys.modules)\n"
        )

    def test_the_gate_does_not_load_torch(self):
        self.python("import sys, lightning_explain.gate; assert 'torch' not in sys.modules")

    def test_every_public_name_exists(self):
        self.python("import lightning_explain as le; [getattr(le, name) for name in dir(le)]")

    def test_an_unknown_name_is_an_attribute_error(self):
        with pytest.raises(AttributeError, match="no attribute 'Monitor'"):
            __import__("lightning_explain").Monitor  # noqa: B018
