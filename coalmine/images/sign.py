"""Sign an image in a registry: with a key in a file, or by cosign with whatever key it knows."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.config import MANIFEST_TYPE, Blob
from coalmine.images.dockerfile import find_tool, run_tool
from coalmine.images.simplesigning import (
    SIGNATURE,
    payload,
    read_signed,
    signature_tag,
    with_signature,
)
from coalmine.registry.address import RemoteReference
from coalmine.registry.client import Manifest, RemoteRepository, open_repository
from coalmine.registry.options import RegistryOptions
from coalmine.registry.referrers import push_referrers
from coalmine.registry.source import bytes_source

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

__all__ = ["KEYLESS", "check_key", "cosign_arguments", "sign_image"]

KEYLESS = "keyless"
"""Stands for no key: cosign asks an identity provider."""

_ENCRYPTED = b"ENCRYPTED"


def check_key(key: str) -> None:
    """See that something can be signed with a key, before there is anything to be signed.

    Raises:
        InputError: The key cannot be read or is of another kind.
        CoalmineError: It is one for cosign, which is not here.
    """
    if _is_for_cosign(key):
        _find_cosign()
    else:
        _read_key(Path(key))


def sign_image(image: RemoteReference, key: str, options: RegistryOptions) -> None:
    """Sign an image by its digest; where its signature by that key is there, nothing is done.

    Args:
        image: The image, by digest.
        key: A file with a private key on the curve P-256, in PEM and without a password; or what
            cosign takes: its own key file, a KMS reference such as ``awskms://...``, or
            ``keyless``.
        options: How the registry is reached.

    Raises:
        InputError: The key cannot be read or is of another kind; the registry does not allow it.
        CoalmineError: It could not be signed; the image is there all the same.
    """
    if _is_for_cosign(key):
        plain = options.is_plain(image.repository.api_host)
        run_tool(
            "cosign sign", [_find_cosign(), *cosign_arguments(image, key, plain=plain)], os.environ
        )
        return
    private = _read_key(Path(key))
    with open_repository(image.repository, options, writes=True) as remote:
        _sign(remote, image.digest, private)


def cosign_arguments(image: RemoteReference, key: str, *, plain: bool) -> list[str]:
    """Write cosign's arguments. Pure."""
    return [
        "sign",
        "--yes",
        *([] if key == KEYLESS else ["--key", key]),
        *(["--allow-http-registry"] if plain else []),
        f"{image.repository}@{image.digest}",
    ]


def _find_cosign() -> str:
    return find_tool("cosign", fix="install cosign, or give a key file without a password")


def _is_for_cosign(key: str) -> bool:
    if key == KEYLESS or "://" in key:
        return True
    try:
        return _ENCRYPTED in Path(key).read_bytes().partition(b"\n")[0]
    except OSError as error:
        raise InputError(
            f"{key} cannot be read: {error.strerror}",
            field="sign",
            fix="give a key file, a KMS reference of cosign's, or keyless",
        ) from None


def _read_key(path: Path) -> EllipticCurvePrivateKey:
    try:
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
            load_pem_private_key,
        )
    except ImportError:
        raise InputError(
            "what signs is not installed", field="sign", fix='run: pip install "coalmine[sign]"'
        ) from None
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InputError(
            f"{path} holds no private key on the curve P-256 in PEM",
            field="sign",
            fix="make one: openssl ecparam -genkey -name prime256v1 -noout -out key.pem",
        )
    return key


def _sign(remote: RemoteRepository, digest: str, key: EllipticCurvePrivateKey) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    top = remote.pull_manifest(digest)
    if top is None:
        raise CoalmineError(f"{remote.repository} does not hold {digest} any more")
    said = payload(str(remote.repository), digest)
    # Deterministic, so that the same key gives the same signature a second time.
    raw = key.sign(said, ECDSA(SHA256(), deterministic_signing=True))
    signature = base64.b64encode(raw).decode()
    there = remote.pull_manifest(signature_tag(digest))
    before = read_signed(there.content) if there else ()
    if any(_signature(item) == signature for item in before):
        return
    subject = Blob(digest, len(top.content))
    signed = with_signature(before, said, signature, subject, top.media_type)
    remote.push_blobs([bytes_source(said), bytes_source(signed.config)])
    manifest = Manifest(signed.manifest, MANIFEST_TYPE)
    remote.push_manifest(manifest, signature_tag(digest))
    push_referrers(remote, [manifest], digest)


def _signature(item: Mapping[str, Mapping[str, str]]) -> str:
    return str(item.get("annotations", {}).get(SIGNATURE, ""))
