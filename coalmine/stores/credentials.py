"""AWS credentials that stand in a file, which the object store's client does not read itself."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

from coalmine._base.errors import InputError

__all__ = ["keys_from_file"]

_NAMES = {
    "access_key_id": "aws_access_key_id",
    "secret_access_key": "aws_secret_access_key",
    "session_token": "aws_session_token",
}


def keys_from_file(environ: Mapping[str, str]) -> dict[str, str]:
    """Read the keys of a profile, where the environment itself has none.

    Args:
        environ: ``AWS_PROFILE``, ``AWS_SHARED_CREDENTIALS_FILE``, ``AWS_ACCESS_KEY_ID``, ``HOME``.

    Returns:
        ``access_key_id``, ``secret_access_key`` and, if there is one, ``session_token``. Empty if
        the environment has keys, or no profile is asked for and there is no default one.

    Raises:
        InputError: The profile that is asked for has no keys, or the file cannot be read.
    """
    if environ.get("AWS_ACCESS_KEY_ID"):
        return {}
    asked = environ.get("AWS_PROFILE", "")
    default = Path(environ.get("HOME", "/")) / ".aws" / "credentials"
    path = Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or default)
    section = _read(path).get(asked or "default", {})
    found = {name: section[key] for name, key in _NAMES.items() if section.get(key)}
    if asked and not {"access_key_id", "secret_access_key"} <= set(found):
        raise InputError(
            f"the profile {asked!r} has no keys in {path}",
            field="AWS_PROFILE",
            fix='run: eval "$(aws configure export-credentials --format env)"',
        )
    return found


def _read(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is no file of AWS credentials: {error}", fix="correct it, or remove it"
        ) from None
    return {name: dict(parser.items(name)) for name in parser.sections()}
