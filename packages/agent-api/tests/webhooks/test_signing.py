"""Signatures as other implementations of Standard Webhooks make and check them."""

import base64

from agent_api.webhooks.signing import shown_secret, signed_headers

SECRET = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


def test_a_signature_is_that_of_the_reference_library():
    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330.9, b'{"test": 2432232314}', [SECRET])
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert shown_secret(SECRET) == "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_while_a_secret_is_rotated_there_is_a_signature_of_each():
    one, two = (signed_headers("m", 1.0, b"{}", [secret])["webhook-signature"] for secret in (SECRET, b"old"))
    both = signed_headers("m", 1.0, b"{}", [SECRET, b"old"])["webhook-signature"]
    assert both == f"{one} {two}"
    assert one != two
