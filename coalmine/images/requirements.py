"""A bento's list of packages, before uv reads it: anyone may have written it.

uv obeys options in the list itself, also against its own command line: an editable package is built
and ``--no-binary`` builds whatever it names, and to build is to run what came with the bento. And
it puts variables of this machine into URLs. So there are a few options that a list may have.
"""

from __future__ import annotations

import re

from coalmine._base.errors import InputError

__all__ = ["check_requirements"]

_OPTION = re.compile(r"--?[A-Za-z][A-Za-z-]*")
_HARMLESS = {
    *("-i", "--index-url", "--extra-index-url", "--no-index", "-f", "--find-links"),
    *("--hash", "--require-hashes", "--pre", "--prefer-binary", "--trusted-host"),
}
_VARIABLE = re.compile(r"\$\{\w+\}")
_BUILDAH = "or build the image with --builder buildah"


def check_requirements(content: bytes) -> None:
    """Refuse a list by which uv would run something of the bento, or tell about this machine.

    Args:
        content: The file.

    Raises:
        InputError: It is no text in UTF-8, has an option that is not known to be harmless, or names
            a variable.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:  # uv would read other encodings, and we not what it reads
        raise _refused("they are no text in UTF-8", "write them in UTF-8") from None
    for line in map(str.strip, text.removeprefix("\ufeff").splitlines()):
        option = _OPTION.match(line)
        if line.startswith("-") and (option is None or option.group() not in _HARMLESS):
            raise _refused(
                f"{line[:80]!r} is an option that may run what is in the bento",
                f"list each package by its name and version, {_BUILDAH}",
            )
        if not line.startswith("#") and (found := _VARIABLE.search(line)):
            raise _refused(
                f"{found.group()} would be a variable of the machine that builds",
                "name an index that needs credentials in UV_INDEX_URL where the image is built, "
                + _BUILDAH,
            )


def _refused(why: str, fix: str) -> InputError:
    return InputError(f"the bento's requirements are refused: {why}", field="context", fix=fix)
