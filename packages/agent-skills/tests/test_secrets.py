"""Secrets are masked in whatever a server repeats of a request."""

import base64
import html
import json
from urllib.parse import quote, quote_plus, urlencode

import pytest

from agent_skills.secrets import Secrets

VALUE = 'p<ss & "wörd"/1+2='
OTHER = 'anna:p<ss & "wörd"/1+2='
SECRETS = Secrets({"key": VALUE, "login": OTHER, "pin": "123", "none": ""})


@pytest.mark.parametrize(
    "written",
    [
        VALUE,
        json.dumps(VALUE)[1:-1],
        json.dumps(VALUE, ensure_ascii=False)[1:-1],
        quote(VALUE),
        quote(VALUE, safe=""),
        quote_plus(VALUE),
        html.escape(VALUE),
        base64.b64encode(VALUE.encode()).decode(),
        base64.b64encode(VALUE.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(VALUE.encode()).decode(),
    ],
)
def test_a_secret_is_masked_in_every_writing_in_which_servers_repeat_it(written):
    masked = SECRETS.mask(f"you sent {written} to us")
    assert masked.rstrip("=") == "you sent [secret key] to us"


def test_the_longest_goes_first():
    assert SECRETS.mask(f"login={OTHER}") == "login=[secret login]"
    header = base64.b64encode(OTHER.encode()).decode()
    assert SECRETS.mask(f"Authorization: Basic {header}") == "Authorization: Basic [secret login]"
    assert SECRETS.mask(urlencode({"login": OTHER})) == "login=[secret login]"


def test_what_is_too_short_is_left_alone():
    assert SECRETS.mask("123 and nothing") == "123 and nothing"
    assert Secrets({}).mask("a text") == "a text"
