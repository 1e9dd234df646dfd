"""An import without what it would bring along."""

import sys

import pytest

from hyperpod_node_removal_handler.leaving_out import leaving_out

ABSENT = "hyperpod_of_no_one"


def test_what_is_left_out_does_nothing_and_leaves_no_trace() -> None:
    with leaving_out(ABSENT):
        from hyperpod_of_no_one import Renderer  # type: ignore[import-not-found]  # noqa: PLC0415
    renderer = Renderer("name", limit=3)
    renderer.heading.render(depth=1)
    assert isinstance(renderer, Renderer)
    assert isinstance(type("Derived", (Renderer,), {})(), Renderer)
    with pytest.raises(ModuleNotFoundError):
        import hyperpod_of_no_one  # noqa: F401, PLC0415


def test_what_is_loaded_is_not_left_out() -> None:
    loaded = sys.modules["json"]
    with leaving_out("json", ABSENT):
        assert sys.modules["json"] is loaded
    assert sys.modules["json"] is loaded


def test_an_import_that_fails_leaves_no_trace_either() -> None:
    with pytest.raises(ImportError), leaving_out(ABSENT):
        raise ImportError
    assert ABSENT not in sys.modules
