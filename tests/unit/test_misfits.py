"""What a person is told who wrote a document that does not fit."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from protocol.base import Message
from protocol.misfits import first_misfit, misfits
from protocol.profiles import OutputOverrides, Profile


def error_of(model: type[Message], document: object) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        model.model_validate_json(json.dumps(document))
    return caught.value


def test_a_misspelled_key_is_told_before_the_one_that_lacks_for_it() -> None:
    error = error_of(Profile, {"name": "m", "renditions": [{"name": "a", "heigth": 360, "crf": 20}]})

    assert first_misfit(error) == "renditions.0.heigth: there is no such key (and see renditions.0.height)"


def test_of_a_value_of_several_kinds_only_the_kind_that_was_meant_complains() -> None:
    document = error_of(OutputOverrides, {"renditions": [{"name": "a", "height": 360, "crf": 200}]})
    name = error_of(OutputOverrides, {"renditions": ["no name!"]})

    told = [[(one.field, one.row["type"]) for one in misfits(error.errors())] for error in (document, name)]
    assert told == [[("renditions.0.crf", "less_than_equal")], [("renditions.0", "string_pattern_mismatch")]]


def test_where_no_kind_fits_each_says_so() -> None:
    told = misfits(error_of(OutputOverrides, {"renditions": [7]}).errors())

    assert [one.field for one in told] == ["renditions.0", "renditions.0"]
