from functools import partial

import pytest

from lightning_explain.metrics.settings import settings_digest


class Made:
    def __init__(self, first=1, *rest, shares=(0.1, 0.2), how=len, **more):
        pass


class Other(Made):
    pass


class Strict:
    def __init__(self, first):
        pass


def digest(*args, **kwargs):
    return settings_digest(Made, args, kwargs)


@pytest.mark.parametrize(
    "same", [digest(1), digest(first=1), digest(shares=[0.1, 0.2]), digest(1, how=len), digest(shares=(0.1, 0.2))]
)
def test_what_is_written_in_another_way_is_the_same(same):
    assert same == digest()
    assert same.isalnum()


def test_other_settings_are_told_apart():
    others = [
        digest(2),
        digest("1"),
        digest(1, 2),
        digest(shares=(0.1,)),
        digest(shares=(0.1, 0.2, 0.3)),
        digest(how=max),
        digest(more=1),
        settings_digest(Other, [], {}),
    ]
    assert len({digest(), *others}) == 1 + len(others)


def test_addresses_do_not_matter():
    assert digest(how=object()) == digest(how=object())
    assert digest(how=partial(max, 1)) == digest(how=partial(max, 1)) != digest(how=partial(max, 2))


def test_what_does_not_fit_is_for_the_constructor_to_say():
    assert settings_digest(Strict, [1, 2], {}) == settings_digest(Strict, [], {"second": 2}) == ""
    assert settings_digest(Strict, [1], {}) != ""
