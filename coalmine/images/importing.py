"""Does a bento's service import? Tried only when it is asked for: importing runs the bento's code.

It is tried in a process of its own, with a limit of time, with a home of its own and told to stay
off the network. With a tree of packages it sees those alone, and not what coalmine is installed
with.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError

__all__ = ["check_import", "find_python", "import_seconds"]

_LAST_LINES = 3
_LONGEST = 500
_OFFLINE = {
    "BENTOML_DO_NOT_TRACK": "true",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR")
_PROGRAM = """
import site, sys
context, packages = sys.argv[1:]
if packages:
    site.addsitedir(packages)
import bentoml
service = bentoml.load(context)
getattr(service, "inner", None)
"""


def import_seconds(text: str) -> float:
    """Read how long importing may take; 0 means that it is not asked for.

    Raises:
        InputError: It is no number of seconds.
    """
    if not text:
        return 0.0
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", text):
        raise InputError(
            f"{text!r} is no number of seconds",
            field="check_import",
            fix="give how long it may take, for example 60; leave it empty to import nothing",
        )
    return float(text)


def find_python(text: str) -> Path:
    """Find the Python that a service is to be imported with; an empty text means this one.

    Raises:
        InputError: It is no program here.
    """
    if not text:
        return Path(sys.executable)
    found = shutil.which(text)
    if found is None:
        raise InputError(
            f"{text!r} is no program here",
            field="import_python",
            fix="give the path of a Python with the service's packages, for example "
            "venv/bin/python; leave it empty to try the Python that runs coalmine",
        )
    return Path(found).absolute()


def check_import(
    context: Path,
    *,
    seconds: float,
    packages: Path | None = None,
    python: Path | None = None,
) -> None:
    """Import a bento's service, and see that it can be.

    Args:
        context: The bento with its models.
        seconds: How long that may take.
        packages: A folder of packages that it sees; None means what the Python has.
        python: What imports it; None means the Python that runs us.

    Raises:
        InputError: It cannot be imported; the last words of Python are in the error.
        CoalmineError: It takes too long.
    """
    program = str(python or sys.executable)
    with tempfile.TemporaryDirectory(prefix="coalmine-import-") as home:
        environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environ |= _OFFLINE | {"HOME": home, "BENTOML_HOME": home, "HF_HOME": home}
        alone = ["-S"] if packages else []
        with subprocess.Popen(
            [program, "-B", "-E", "-s", *alone, "-c", _PROGRAM, str(context), str(packages or "")],
            cwd=home,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
            errors="replace",
        ) as process:
            said = _until_ended(process, seconds)
    if process.returncode:
        raise InputError(
            f"the bento's service cannot be imported: {said}",
            field="context",
            fix="mend the service or its requirements, and build the bento again",
        )


def _until_ended(process: subprocess.Popen[str], seconds: float) -> str:
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # and whatever it started
        raise CoalmineError(
            f"importing the bento's service has not ended in {seconds:g} s",
            fix="see what it does when it is imported, or allow more time with --check-import",
        ) from None
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return "; ".join(lines[-_LAST_LINES:])[-_LONGEST:] or f"Python ended with {process.returncode}"
