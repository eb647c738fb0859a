"""Who sees a user: by the setting for all remotes, and by that for one."""

from itertools import product
from uuid import UUID

import pytest

from isthmus.domain.errors import InvalidValue
from isthmus.domain.federation.directory import User, Visibility, folded, parse_display_name, parse_handle
from isthmus.domain.federation.names import BackendDomain
from tests.builders import NOON

A, C = BackendDomain("a.example"), BackendDomain("c.example")


def a_user(visibility: Visibility, **overrides: Visibility) -> User:
    own = {BackendDomain(f"{name}.example"): seen for name, seen in overrides.items()}
    return User(UUID(int=1), "alice", "Alice", visibility, NOON, own)


@pytest.mark.parametrize(("for_all", "for_a"), list(product(Visibility, [None, *Visibility])))
def test_the_setting_for_one_remote_counts_for_it_alone(for_all: Visibility, for_a: Visibility | None) -> None:
    user = a_user(for_all) if for_a is None else a_user(for_all, a=for_a)
    shown = for_a or for_all
    assert user.is_found_by_handle(A) == (shown in {Visibility.HANDLE, Visibility.SEARCH})
    assert user.is_found_by_search(A) == (shown is Visibility.SEARCH)
    assert user.shown_to(C) is for_all


@pytest.mark.parametrize("text", ["", "Alice", "-a", ".a", "a b", "a@b", "é", "a" * 64, "a\n", "PostUp = x"])
def test_what_is_no_handle_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_handle(text)


@pytest.mark.parametrize("text", ["a", "7", "alice.b_c-d", "a" * 63])
def test_what_is_a_handle_stays_as_it_is(text: str) -> None:
    assert parse_handle(text) == text


@pytest.mark.parametrize("text", ["a\nb", "a\x00", "\x1b[31m", "a\u2028b", "\u202ea", "\ud800", "a" * 256, "a\x9b"])
def test_a_name_that_is_not_one_line_of_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_display_name(text)


@pytest.mark.parametrize(
    "text", ["", "Alice", "'; DROP TABLE users; --", "{{ 7 * 7 }}", "$(reboot)", "Zoë 🦊 שלום", "\\"]
)
def test_a_name_is_text_and_nothing_else(text: str) -> None:
    assert parse_display_name(text) == text


def test_searches_regard_neither_case_nor_composition() -> None:
    assert folded("ZOË") == folded("zoe\u0308")
