"""A build context that another program fetches from its bucket itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from coalmine._base.errors import CoalmineError
from coalmine.stores.context import keep_context
from coalmine.stores.limits import read_limits
from coalmine.stores.objects import Objects, Stored, endpoint_of
from coalmine.stores.reference import find_there, in_bucket, unpack_from

__all__ = ["InBucket", "open_in_bucket"]


@dataclass(frozen=True, slots=True)
class InBucket:
    """A context's archive in a bucket.

    Attributes:
        url: ``s3://bucket/prefix/DIGEST.tar.gz``.
        objects: Where it is.
        stored: What was verified.
    """

    url: str
    objects: Objects
    stored: Stored

    def environ(self, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Say as kaniko reads it how the bucket is reached; credentials it finds as we do.

        Source: "kaniko Build Contexts" in its README, and the AWS SDK for Go, which wants a region.
        """
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        said = {"AWS_REGION": region}
        if endpoint := endpoint_of(environ):
            said |= {"S3_ENDPOINT": endpoint, "S3_FORCE_PATH_STYLE": "true"}
        return said

    def check(self) -> None:
        """See that the archive is still what was verified.

        Raises:
            CoalmineError: It is another one, or gone.
        """
        now = self.objects.find(self.stored.key)
        if now is None or now.etag != self.stored.etag:
            raise CoalmineError(
                f"{self.url} was changed while it was built, so the image is not taken",
                fix="see who writes to that bucket, remove the image, and run retrieve again",
            )


def open_in_bucket(
    reference: str, contexts: Path, *, environ: Mapping[str, str] = os.environ
) -> tuple[Path, InBucket]:
    """Have a context in a folder on this machine, verified as it is in its bucket now.

    Args:
        reference: ``s3://bucket/prefix/DIGEST.tar.gz``, as ``publish_context`` gives it.
        contexts: Where contexts from elsewhere are kept.
        environ: Says how buckets are reached.

    Raises:
        InputError: It is no such reference, or the context is not there or is refused.
        CoalmineError: The bucket does not answer, or gives another content.
    """
    objects, key, wanted = in_bucket(reference, environ)
    stored, limits = find_there(objects, key), read_limits(environ)
    folder, _ = keep_context(
        contexts,
        lambda into: unpack_from(objects, stored, into, limits),
        source=f"{reference} {stored.etag}",
        wanted=wanted,
    )
    return folder, InBucket(reference, objects, stored)
