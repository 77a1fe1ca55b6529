"""The tree of commands: every word of it, and what each takes."""

from __future__ import annotations

import importlib
import inspect

import pytest

from client import options
from client.main import COMMANDS, GROUPS, REPLACED, Row

WORDS = {row.words for row in COMMANDS}
PLAIN = {
    *("up", "submit", "jobs", "job", "why", "log", "cancel", "retry", "set", "purge", "validate", "outputs", "version"),
    *("playback", "live", "stop"),
    *("engines", "engine-info", "approve", "drain", "undrain", "stats", "usage", "audit", "retention"),
}


def test_the_words_are_those_of_the_contract() -> None:
    groups = {
        "keys": {"create", "list", "revoke", "rotate"},
        "tenants": {"list", "create", "set"},
        "profiles": {"list", "get", "put", "delete"},
        "dead-letter": {"list", "retry", "discard"},
        "webhooks endpoints": {"list", "add", "remove", "test", "enable", "disable"},
        "webhooks secret": {"show", "rotate"},
        "webhooks deliveries": {"list", "show", "redeliver"},
        "config": {"show"},
        "releases": {"key", "publish"},
    }

    assert {*PLAIN, *(f"{group} {word}" for group, words in groups.items() for word in words)} == WORDS
    assert {one.words for one in REPLACED} == {"dispatch", "engine", "doctor", "migrate", "config check"}


def test_a_group_stands_before_what_is_in_it_and_its_default_exists() -> None:
    names = [group.words for group in GROUPS]

    assert all(words.rpartition(" ")[0] in {"", *names} for words in (*WORDS, *names))
    assert all(names.index(name.rpartition(" ")[0]) < names.index(name) for name in names if " " in name)
    assert {group.default for group in GROUPS if group.default is not None} <= WORDS


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.words)
def test_every_command_says_what_it_does_and_takes_json(row: Row) -> None:
    assert inspect.getdoc(row.takes)
    assert issubclass(row.takes, options.Common)


def _arguments(takes: type[options.Common]) -> list[str]:
    hints = inspect.get_annotations(takes, eval_str=True)
    return [name for name, hint in hints.items() if "ArgumentInfo" in repr(getattr(hint, "__metadata__", ()))]


def test_a_group_alone_takes_nothing_that_could_be_a_command() -> None:
    """`keys create` must not read `create` as an argument of the group."""
    defaults = {group.default for group in GROUPS}

    assert [row.words for row in COMMANDS if row.words in defaults and _arguments(row.takes)] == []
    assert _arguments(options.JobOptions) == ["job_id"]


def test_every_set_of_options_belongs_to_a_command() -> None:
    taken = {row.takes for row in COMMANDS}
    known = {one for one in vars(options).values() if inspect.isclass(one) and issubclass(one, options.Common)}

    assert known - taken == {options.Common, options.Remote}


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.words)
def test_every_module_of_a_command_is_there(row: Row) -> None:
    module, _, function = row.target.partition(":")

    assert inspect.iscoroutinefunction(getattr(importlib.import_module(module), function))
