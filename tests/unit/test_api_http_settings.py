"""The settings of the HTTP layer: what they bound, and which are refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from config.dispatch import Api, DispatchSettings
from dispatch.api.wiring import Limits
from dispatch.app.process import limits_of


def test_limits_without_settings_are_those_of_the_layer() -> None:
    assert limits_of(DispatchSettings()) == Limits()


def test_every_setting_of_the_api_reaches_its_limit() -> None:
    api = Api(
        calls_per_s=1,
        tenant_calls_per_s=2,
        wrong_keys=3,
        first_request_s=4.0,
        min_body_rate=5,
        cors_origins=("https://a.example",),
        playback_origins=("*",),
        trusted_proxies=("10.0.0.0/8", "::1"),
    )

    assert limits_of(DispatchSettings(api=api)) == Limits(
        calls_per_s=1,
        tenant_calls_per_s=2,
        failures_free=3,
        first_request_s=4.0,
        min_body_rate=5,
        cors_origins=("https://a.example",),
        playback_origins=("*",),
        trusted_proxies=("10.0.0.0/8", "::1/128"),
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"cors_origins": ("a.example",)},
        {"cors_origins": ("https://a.example/",)},
        {"playback_origins": ("https://*.example",)},
        {"trusted_proxies": ("10.0.0.1/8",)},
        {"trusted_proxies": ("proxy",)},
        {"calls_per_s": 0},
    ],
)
def test_setting_that_means_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Api.model_validate(wrong)
