import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_explain.registry import Registry, unknown


def shapes() -> Registry[object]:
    registry = Registry[object]("shape")

    @registry.register("circle")
    class Circle: ...

    @registry.register("square")
    class Square: ...

    return registry


def test_entries_are_found_in_the_order_they_were_made() -> None:
    registry = shapes()
    assert list(registry) == ["circle", "square"]
    assert len(registry) == 2
    assert "circle" in registry
    assert "Circle" not in registry
    assert registry["circle"].__name__ == "Circle"
    assert registry["circle"].name == "circle"
    assert registry.get("triangle") is None


def test_an_entry_is_never_replaced() -> None:
    registry = shapes()
    with pytest.raises(ValueError, match="The shape 'circle' is already registered, by Circle"):
        registry.register("circle")(int)
    assert registry["circle"].__name__ == "Circle"


def test_an_unknown_name_is_answered_with_the_nearest_and_all() -> None:
    with pytest.raises(KeyError, match=r"No shape 'cirle'\. Did you mean 'circle'\? Known: circle, square\."):
        shapes()["cirle"]
    with pytest.raises(KeyError, match=r"No shape 'xyz'\. Known: circle, square\."):
        shapes()["xyz"]
    with pytest.raises(KeyError, match=r"No shape 'xyz'\. Known: none\."):
        Registry[object]("shape")["xyz"]


@given(name=st.text(max_size=8), known=st.lists(st.text("abc", min_size=1, max_size=5), max_size=4))
def test_everything_known_is_listed(name: str, known: list[str]) -> None:
    sentence = unknown("thing", name, known)
    assert repr(name) in sentence
    assert all(entry in sentence for entry in known)
    assert sentence.endswith(".")
