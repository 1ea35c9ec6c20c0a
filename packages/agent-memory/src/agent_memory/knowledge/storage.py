"""What fails under a table, in words: a disk's own, and those of an object storage as a person can act on them."""

import contextlib
import re
from collections.abc import Generator

from agent_core.errors import KnowledgeUnavailableError
from agent_memory.knowledge.rows import pa

_REASONS = (
    (
        re.compile(r"NoSuchBucket|The specified (bucket|container) does not exist|ContainerNotFound"),
        "there is no such bucket; make it first, or name another",
    ),
    (
        re.compile(r"Failed to get AWS credentials|CredentialsNotLoaded|no providers in chain provided"),
        "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give storage_options",
    ),
    (
        re.compile(r"InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|status: 403|status: 401"),
        "the object storage refuses these credentials",
    ),
    (
        re.compile(r"kind: Connect\b|BadScheme|dns error"),
        "the object storage cannot be reached; check the endpoint, and allow_http for one without TLS",
    ),
)
"""As the crate object_store 0.13 words them, which LanceDB 0.40 is built on; what it says of S3 has its XML in it."""
_TOLD = 400
_ADDRESS = re.compile(r"uri: Some\((https?://[^/)\s]+)")


@contextlib.contextmanager
def storage(where: str) -> Generator[None]:
    """What the storage raises becomes a `KnowledgeUnavailableError`."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, pa.ArrowException) as error:
        raise KnowledgeUnavailableError(where, reason(str(error))) from error


def reason(told: str) -> str:
    """Why, in words a person can act on; else the first line of what was said."""
    for known, words in _REASONS:
        if known.search(told):
            asked = _ADDRESS.search(told)
            return f"{words} (asked at {asked[1]})" if asked else words
    return told.split("\n", 1)[0][:_TOLD]
