import pytest

from agent_core import KnowledgeUnavailableError
from agent_memory.knowledge.storage import storage

REFUSED = (
    'Generic S3 error: uri: Some(https://s3.example/bucket?list-type=2), inner: Status { status: 403, body: "<Code>'
    'SignatureDoesNotMatch</Code>"'
)
"""As object_store 0.13 tells it, cut."""


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ('body: Some("<Code>NoSuchBucket</Code>")', "no such bucket"),
        ("Failed to get AWS credentials: ProviderError", "AWS_ACCESS_KEY_ID"),
        (REFUSED, r"refuses these credentials \(asked at https://s3.example\)"),
        ("reqwest::Error { kind: Connect, }", "cannot be reached"),
        ("No space left on device\nmore", "No space left on device$"),
    ],
)
def test_what_a_storage_says_is_put_in_words_of_ours(told, reason):
    with pytest.raises(KnowledgeUnavailableError, match=reason), storage("s3://bucket"):
        raise OSError(told)
