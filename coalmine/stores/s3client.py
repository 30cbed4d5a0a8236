"""The object store's client, set up from the environment; it is given what it does not look up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from coalmine._base.errors import InputError
from coalmine.stores.credentials import keys_from_file

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Store

__all__ = ["make_client"]

_CLIENT: ClientConfig = {
    "connect_timeout": timedelta(seconds=5),
    "timeout": timedelta(seconds=120),
}
_RETRY: RetryConfig = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
_CA = "AWS_CA_BUNDLE"
_BEGIN = b"-----BEGIN CERTIFICATE-----"


def make_client(bucket: str, endpoint: str, environ: Mapping[str, str]) -> S3Store:
    """Make a client for one bucket; nothing is asked yet.

    Args:
        bucket: Its name.
        endpoint: The server's base URL; empty means AWS.
        environ: Credentials as `keys_from_file` reads them; and ``AWS_CA_BUNDLE``, which names
            authorities that are trusted beside the usual ones, as in every client of AWS.

    Raises:
        InputError: A setting cannot be read, or the library is missing.
    """
    make, trusted = _client_class(), _authorities(environ)
    from obstore.exceptions import BaseError  # noqa: PLC0415 - only where a bucket is used

    options: ClientConfig = {**_CLIENT, "allow_http": endpoint.startswith("http://")}
    if trusted:
        options["root_certificate"] = trusted
    try:
        return make(
            bucket,
            client_options=options,
            retry_config=_RETRY,
            **({"endpoint": endpoint} if endpoint else {}),
            **keys_from_file(environ),
        )
    except (BaseError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise InputError(
            f"the client of buckets cannot be set up: {said}",
            fix=f"correct what AWS's variables say, {_CA} among them",
        ) from None


def _authorities(environ: Mapping[str, str]) -> bytes:
    named = environ.get(_CA, "")
    try:
        content = Path(named).read_bytes() if named else b""
    except OSError as error:
        raise InputError(
            f"{named} cannot be read: {error.strerror}", field=_CA, fix="name a PEM file"
        ) from None
    if named and _BEGIN not in content:
        raise InputError(f"{named} holds no certificates", field=_CA, fix="name a PEM file")
    return content


def _client_class() -> Callable[..., S3Store]:
    try:
        from obstore.store import S3Store  # noqa: PLC0415 - only where a bucket is used
    except ImportError:
        raise InputError(
            "buckets need the package obstore, which is not installed",
            fix='install it with: pip install "coalmine[s3]"',
        ) from None
    return S3Store
