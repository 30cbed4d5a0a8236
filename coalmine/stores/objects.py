"""Objects in an S3 bucket, by the library obstore; its errors become sentences."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from coalmine._base.errors import CoalmineError, InputError
from coalmine.stores.s3client import make_client

if TYPE_CHECKING:
    from obstore import Attributes
    from obstore.store import S3Store

__all__ = ["Objects", "Stored", "endpoint_of", "open_objects"]

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KEY = re.compile(r"[A-Za-z0-9!_.*'()/-]*")
_RANGE = 16 << 20
_PART = 8 << 20
_PARTS_AT_ONCE = 4
_DENIED = frozenset({"401", "403"})
_TRANSIENT = frozenset({"408", "429"})


@dataclass(frozen=True, slots=True)
class Stored:
    """One object.

    Attributes:
        key: Its name below the prefix.
        size: Bytes.
        etag: Changes with the content.
        modified: When it was written, to the second.
        facts: What its writer noted with it; empty in a list.
    """

    key: str
    size: int
    etag: str
    modified: datetime
    facts: Mapping[str, str] = field(default_factory=dict)


class Objects:
    """The objects below one prefix of a bucket.

    Args:
        client: The bucket.
        url: ``s3://bucket/prefix``, for messages.
        endpoint: Where the bucket is, for messages.
        prefix: Ends with a slash, or is empty.
    """

    def __init__(self, client: S3Store, *, url: str, endpoint: str, prefix: str) -> None:
        self.url = url
        self._client, self._endpoint, self._prefix = client, endpoint, prefix

    def find(self, key: str) -> Stored | None:
        """Look an object up; None if it is not there.

        Raises:
            InputError: There is no such bucket, or the credentials do not do. So of every method.
            CoalmineError: The bucket does not answer. So of every method.
        """
        import obstore  # noqa: PLC0415 - only where a bucket is used

        with self._errors():
            try:
                found = obstore.get(self._client, self._prefix + key, options={"head": True})
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None
        facts = {name: value for name, value in found.attributes.items() if isinstance(value, str)}
        return self._stored(found.meta, facts)

    def list(self, folder: str) -> list[Stored]:
        """List the objects below a folder, at any depth."""
        import obstore  # noqa: PLC0415

        with self._errors():
            pages = obstore.list(self._client, self._prefix + folder)
            return [self._stored(item) for page in pages for item in page]

    def read(self, stored: Stored) -> Iterator[bytes]:
        """Read an object, piece by piece; if it is written anew meanwhile, that is an error."""
        import obstore  # noqa: PLC0415

        for start in range(0, stored.size, _RANGE):
            end = min(start + _RANGE, stored.size)
            with self._errors():
                found = obstore.get(
                    self._client,
                    self._prefix + stored.key,
                    options={"range": (start, end), "if_match": stored.etag},
                )
                piece = bytes(found.bytes())
            yield piece

    def write(self, key: str, content: Iterator[bytes], facts: Mapping[str, str]) -> None:
        """Write an object; it is there whole, or as it was before."""
        import obstore  # noqa: PLC0415

        with self._errors():
            obstore.put(
                self._client,
                self._prefix + key,
                content,
                attributes=cast("Attributes", dict(facts)),
                chunk_size=_PART,
                max_concurrency=_PARTS_AT_ONCE,
            )

    def _stored(self, meta: Any, facts: Mapping[str, str] | None = None) -> Stored:  # noqa: ANN401
        key = meta["path"].removeprefix(self._prefix)
        etag = meta["e_tag"] or ""
        return Stored(key, meta["size"], etag, meta["last_modified"], facts or {})

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from obstore.exceptions import BaseError  # noqa: PLC0415

        try:
            yield
        except (BaseError, FileNotFoundError, ValueError) as error:
            raise self._told(error) from None

    def _told(self, error: Exception) -> CoalmineError:
        text = str(error)
        status = _first(r"status code: (\d{3})", text)
        code = _first(r"<Code>(\w+)</Code>", text)
        if code == "NoSuchBucket":
            return InputError(
                f"there is no bucket for {self.url} at {self._endpoint}",
                fix="make it, or correct the name; COALMINE_S3_ENDPOINT says where to look",
            )
        if status in _DENIED:
            return InputError(
                f"{self.url} at {self._endpoint} refuses: {code or status}",
                fix="give credentials that may, in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "by AWS_PROFILE, or by the role of the pod",
            )
        if status.startswith("4") and status not in _TRANSIENT | {"412"}:
            return InputError(f"{self.url} at {self._endpoint} refuses: {code or status}")
        if distrust := _first(r"InvalidCertificate\(\s*(\w+)", text):
            return InputError(
                f"the certificate of {self._endpoint} is not trusted: {distrust}",
                fix="name its certificate authority, a PEM file, in AWS_CA_BUNDLE",
            )
        return CoalmineError(
            f"{self.url} at {self._endpoint} does not do its work: {_line(text)}",
            fix="see that it runs and can be reached; COALMINE_S3_ENDPOINT says where it is",
        )


def open_objects(url: str, *, field: str, environ: Mapping[str, str] = os.environ) -> Objects:
    """Open the place that a URL means.

    The client itself takes the standard AWS variables, a pod's web identity and a machine's role.

    Args:
        url: ``s3://bucket`` or ``s3://bucket/prefix``.
        field: What the URL is, for messages.
        environ: ``COALMINE_S3_ENDPOINT``, else ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL``;
            ``AWS_CA_BUNDLE``.

    Raises:
        InputError: It is no such URL, or no such endpoint; or the library is missing.
    """
    parts = urlsplit(url)
    prefix = unquote(parts.path).strip("/")
    climbs = {".", ".."} & {*prefix.split("/")}  # S3 takes them, its clients do not
    plain = not (parts.query or parts.fragment or climbs) and _KEY.fullmatch(prefix)
    if parts.scheme != "s3" or not _BUCKET.fullmatch(parts.netloc) or not plain:
        raise InputError(
            f"{url!r} is no place in a bucket", field=field, fix="give s3://bucket/prefix"
        )
    endpoint = endpoint_of(environ)
    return Objects(
        make_client(parts.netloc, endpoint, environ),
        url=f"s3://{parts.netloc}/{prefix}".rstrip("/"),
        endpoint=endpoint or "AWS",
        prefix=f"{prefix}/" if prefix else "",
    )


def endpoint_of(environ: Mapping[str, str]) -> str:
    """Tell the base URL of the S3 server; empty means AWS.

    Raises:
        InputError: It is none.
    """
    names = ("COALMINE_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    name = next((name for name in names if environ.get(name)), "")
    endpoint = environ.get(name, "").rstrip("/")
    parts = urlsplit(endpoint)
    if endpoint and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise InputError(
            f"{endpoint!r} is no base URL of an S3 server",
            field=name,
            fix="give, for example, https://minio.example.com:9000",
        )
    return endpoint


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found.group(1) if found else ""


def _line(text: str) -> str:
    """Take what is said before the library's own details, on one line."""
    return " ".join(text.partition("Debug source:")[0].split())[:300]
