from dataclasses import dataclass, replace

from lightning_explain.attribution.remembering import Remembering


@dataclass(frozen=True, eq=False)
class Asked(Remembering):
    about: int


def test_it_is_computed_once_for_each_key_and_each_object() -> None:
    asked, made = Asked(1), list[str]()

    def compute(key: str) -> str:
        made.append(key)
        return key

    for key in ("a", "b", "a"):
        assert asked.remembered(key, lambda key=key: compute(key)) == key
    assert made == ["a", "b"]
    other = replace(asked, about=2)
    assert other.remembered("a", lambda: compute("a")) == "a"
    assert made == ["a", "b", "a"]


def test_nothing_and_none_are_remembered_too() -> None:
    asked, answers = Asked(1), iter([None, 3])
    assert asked.remembered("key", lambda: next(answers)) is None
    assert asked.remembered("key", lambda: next(answers)) is None


def test_two_that_know_alike_are_not_the_same() -> None:
    assert Asked(1) != Asked(1)
    assert len({Asked(1), Asked(1)}) == 2
