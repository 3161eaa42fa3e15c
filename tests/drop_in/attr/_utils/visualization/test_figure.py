import subprocess
import sys


def test_pyplot_is_imported_only_when_it_is_asked_for():
    script = """
import sys
import numpy as np
from lightning_explain.captum.attr._utils import interpretable_input, visualization
visualization.visualize_image_attr(np.ones((2, 2)), show_colorbar=True, use_pyplot=False)
visualization.visualize_timeseries_attr(np.ones((3, 2)), np.ones((3, 2)), show_colorbar=True, use_pyplot=False)
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
