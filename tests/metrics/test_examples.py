"""Every metric shows a number."""

import doctest
import inspect

import pytest

from lightning_explain.metrics import METRICS


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_an_example_with_numbers(name):
    examples = doctest.DocTestParser().get_examples(inspect.cleandoc(METRICS[name].__doc__))
    assert any(any(character.isdigit() for character in example.want) for example in examples)
