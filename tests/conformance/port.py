"""Tests of Captum 0.3.1 as they would be written for 0.9.0: what was renamed in between, and nothing else."""

import re
import shutil
from pathlib import Path

# (files, what 0.3.1 says, what 0.9.0 says)
RENAMED = (
    # The table of configurations and its tools, in the state of 0.9.0: with LRP, and with the new names.
    (
        "attr/**/*.py",
        r"from tests\.attr\.helpers\.(test_config|gen_test_utils) ",
        r"from captum.testing.attr.helpers.\1 ",
    ),
    ("attr/test_*.py", r"\b_format_input\b", "_format_tensor_into_tuples"),
    # Arguments whose old names were deprecated in 0.3.1, and are gone: so are the warnings.
    ("attr/test_saliency.py", r"\bn_samples=", "nt_samples="),
    ("attr/test_input_x_gradient.py", r"\bn_samples=", "nt_samples="),
    ("attr/test_integrated_gradients_basic.py", r"\bn_samples=", "nt_samples="),
    ("attr/test_lime.py", r"n_perturb_samples=n_perturb_samples", "n_samples=n_perturb_samples"),
    ("attr/test_kernel_shap.py", r"n_perturb_samples=n_perturb_samples", "n_samples=n_perturb_samples"),
    ("attr/test_*.py", r"with self\.assertWarns\(DeprecationWarning\):", "if True:"),
    # The default strength of LIME's lasso was 1.0; the expected numbers are those of 1.0.
    ("attr/test_lime.py", r"Lime\(\n(\s+)model,\n\s+sim", r"Lime(\n\1model,\n\1SkLearnLasso(alpha=1.0),\n\1sim"),
)


def ported(suite: Path, into: Path) -> Path:
    """Copy the tests of an unpacked source distribution, and rename in the copy what 0.9.0 renamed."""
    tests = into / "tests"
    shutil.copytree(suite / "tests", tests, ignore=shutil.ignore_patterns("__pycache__"))
    for files, old, new in RENAMED:
        for path in tests.glob(files):
            path.write_text(re.sub(old, new, path.read_text(encoding="utf-8")), encoding="utf-8")
    return tests
