"""Notes about uploads on a real disk: one for each state of a file, one process at a time, nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

from client.notes import KEPT_S, hold
from client.tus import LocalFacts, facts_of

SERVER = "http://farm:8080"


def film(tmp_path: Path) -> LocalFacts:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"film")
    return facts_of(path)


def test_what_was_noted_is_there_for_the_next_run(tmp_path: Path) -> None:
    file, notes = film(tmp_path), tmp_path / "notes"
    with hold(notes, SERVER, file) as note:
        note.remember("upl_1")

    with hold(notes, SERVER, file) as again:
        assert again.upload_id == "upl_1"
        again.forget()
    with hold(notes, SERVER, file) as after:
        assert after.upload_id is None

    assert list(notes.iterdir()) == []


def test_another_server_or_another_state_of_the_file_is_another_note(tmp_path: Path) -> None:
    file, notes = film(tmp_path), tmp_path / "notes"
    with hold(notes, SERVER, file) as note:
        note.remember("upl_1")
    file.path.write_bytes(b"film, longer")

    with hold(notes, "http://other:8080", file) as elsewhere, hold(notes, SERVER, facts_of(file.path)) as changed:
        assert (elsewhere.upload_id, changed.upload_id) == (None, None)


def test_two_at_once_do_not_share_an_upload(tmp_path: Path) -> None:
    file, notes = film(tmp_path), tmp_path / "notes"

    with hold(notes, SERVER, file) as first, hold(notes, SERVER, file) as second:
        first.remember("upl_1")
        second.remember("upl_2")
        assert (first.upload_id, second.upload_id) == ("upl_1", None)


def test_notes_are_for_their_owner_alone(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with hold(notes, SERVER, film(tmp_path)) as note:
        note.remember("upl_1")

    assert [path.stat().st_mode & 0o777 for path in notes.iterdir()] == [0o600]


def test_without_a_place_to_write_there_is_no_note_and_no_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for directory in (None, tmp_path / "file" / "notes"):
        with hold(directory, SERVER, film(tmp_path)) as note:
            note.remember("upl_1")
            assert note.upload_id is None


def test_a_note_that_is_none_is_passed_over(tmp_path: Path) -> None:
    file, notes = film(tmp_path), tmp_path / "notes"
    with hold(notes, SERVER, file) as note:
        note.remember("../../etc/passwd")

    with hold(notes, SERVER, file) as again:
        assert again.upload_id is None


def test_what_nobody_came_back_for_is_swept(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    old, young = notes / "old", notes / "young"
    for path, age in ((old, KEPT_S + 60), (young, KEPT_S - 60)):
        path.touch()
        os.utime(path, (path.stat().st_mtime - age,) * 2)

    with hold(notes, SERVER, film(tmp_path)) as note:
        note.remember("upl_1")

    assert (old.exists(), young.exists()) == (False, True)
