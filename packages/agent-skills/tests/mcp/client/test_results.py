from base64 import b64encode

import pytest

from agent_core.messages import Image
from agent_skills.mcp.client.results import as_pictures, as_text

PNG = b"\x89PNG and so on"
DATA = b64encode(PNG).decode()
PICTURE = {"type": "image", "mimeType": "image/png", "data": DATA}


def resource(**inner):
    return {"type": "resource", "resource": {"uri": "file:///a", **inner}}


@pytest.mark.parametrize(
    ("part", "text", "picture"),
    [
        (PICTURE, "[image, image/png, 15 bytes]", Image(data=PNG, media_type="image/png")),
        (
            resource(mimeType="image/webp", blob=DATA),
            "[file file:///a, image/webp, 15 bytes]",
            Image(data=PNG, media_type="image/webp"),
        ),
        ({**PICTURE, "mimeType": "image/svg+xml"}, "[image, image/svg+xml, 15 bytes]", None),
        ({**PICTURE, "type": "audio", "mimeType": "audio/wav"}, "[audio, audio/wav, 15 bytes]", None),
        (
            resource(mimeType="application/pdf", blob=DATA),
            "[file file:///a, application/pdf, 15 bytes]",
            None,
        ),
        (resource(mimeType="image/png", text="words"), "file:///a:\nwords", None),
        ({**PICTURE, "data": "no base64!"}, "[image, image/png, 7 bytes]", None),
        ({**PICTURE, "data": ""}, "[image, image/png, 0 bytes]", None),
        ({**PICTURE, "data": 5}, "[image, image/png, 0 bytes]", None),
        ({**PICTURE, "data": "A" * 6_000_000}, "[image, image/png, 4,500,000 bytes]", None),
        ({"type": "text", "text": "words", "mimeType": "image/png", "data": DATA}, "words", None),
        ({"type": "resource_link", "uri": "u", "name": "n", "mimeType": "image/png"}, "[link u: n]", None),
    ],
)
def test_what_is_named_and_what_is_shown(part, text, picture):
    result = {"content": [part]}
    assert (as_text(result), as_pictures(result)) == (text, () if picture is None else (picture,))


def test_only_so_many_pictures_of_one_result():
    assert len(as_pictures({"content": [PICTURE] * 20})) == 8


def test_a_result_without_content_has_none():
    assert as_pictures({}) == ()
