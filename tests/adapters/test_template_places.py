"""Webhook: a value in an address stays the part of it that it was meant to be."""

from __future__ import annotations

import pytest
from yarl import URL

from adapters.webhook.description import Request
from adapters.webhook.templates import Template


@pytest.mark.parametrize("value", ["../../x", "%2e%2e", "a?b#c", "\r\nX: y", "a/b", "...", "a:b"])
def test_a_value_is_one_segment(value: str) -> None:
    template = Template(Request(url="https://api.example/v1/{customer}/send", body={}), {})
    url = URL(template.fill({"customer": value}).url)
    assert url.parts == ("/", "v1", value, "send")
    assert (url.host, url.query_string, url.fragment) == ("api.example", "", "")


@pytest.mark.parametrize("value", [".", ".."])
def test_a_value_that_is_a_step_is_refused(value: str) -> None:
    template = Template(Request(url="https://api.example/v1/{customer}/send", body={}), {})
    with pytest.raises(ValueError, match="another path"):
        template.fill({"customer": value})


@pytest.mark.parametrize("place", ["{customer}", "{ours}.example", "api.example:{part}"])
def test_nobody_but_the_configuration_says_whom_we_call(place: str) -> None:
    with pytest.raises(ValueError, match="whom we call"):
        Template(Request(url=f"https://{place}/send", body={}), {})
    assert Template(Request(url="https://{region}.example/", body={}), {"region": "eu"}).place[0]
