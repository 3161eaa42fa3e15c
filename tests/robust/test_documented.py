import re
from pathlib import Path

import torch

from lightning_explain import robust

PAGE = (Path(__file__).parents[2] / "docs" / "robust.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs():
    made = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], made)
    assert list(made["accuracy"]) == ["original", "fgsm", "pgd"]
    assert made["moved"].shape == made["images"].shape
    assert float((made["moved"] - made["images"]).flatten(1).norm(dim=1).max()) <= 0.5 + 1e-6


def test_the_page_names_what_there_is():
    public = {name for name, value in vars(robust).items() if isinstance(value, type) or callable(value)}
    public -= {"Attack", "Minimal"}  # what one writes, and what is returned
    assert {name for name in public if name not in PAGE} == set()
    assert torch.is_tensor(robust.Bounds(0, 1)(torch.ones(1)))
