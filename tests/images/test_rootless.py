"""A Dockerfile that runs programs, built by buildah without root."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ordinary_user
import pytest

from coalmine.images.rootless import Machine, lacking, this_machine

ROOT = Path(__file__).parents[2]
NEEDED = ("buildah", "newuidmap", "newgidmap", "unshare", "mount", "ldd")
USER = Machine(
    1000,
    "me",
    0,
    frozenset({"newuidmap", "newgidmap"}),
    frozenset({"/etc/subuid", "/etc/subgid"}),
)
ALL_OF_ROOT = Machine(0, "root", (1 << 41) - 1)

rootless = pytest.mark.skipif(
    os.getuid() != 0 or any(shutil.which(name) is None for name in NEEDED),
    reason=f"needs root, to become another user, and {', '.join(NEEDED)}",
)


@pytest.fixture
def built(context: Path, tmp_path: Path) -> Path:
    """A bento on this machine's shell, whose Dockerfile runs it as root and as the bento's user."""
    base = context / "base"
    for program in ("/bin/sh", "/bin/chown", "/bin/cat"):
        said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for path in (program, *(word for word in said.split() if word.startswith("/"))):
            place = base / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(path).resolve(), place)
    (base / "etc").mkdir()
    (base / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nbentoml:x:1034:1034::/:/bin/sh\n")
    (context / "env/docker/Dockerfile").write_text(
        "FROM scratch\nCOPY base /\n"
        "RUN echo ran > /said && chown 1034:1034 /said\n"
        "COPY --chown=1034:1034 . /home/bentoml/bento/\n"
        "USER bentoml\nRUN cat /said && echo again >> /said\n"
    )
    return context


def _build(context: Path, ids: int) -> str:
    work = context.parent / f"work-{ids}"
    work.mkdir()
    for folder in (work, *work.parents):  # pytest's folders are for root alone
        if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, ordinary_user.__file__, context, work, str(ids)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@rootless
@pytest.mark.integration
def test_an_ordinary_user_with_ids_runs_what_a_dockerfile_says(built: Path) -> None:
    said = _build(built, 65536)
    folder, _, digest = said.removeprefix("oci-layout://").partition("@sha256:")
    manifest = json.loads((Path(folder) / "blobs/sha256" / digest).read_text())
    assert len(manifest["layers"]) == 4


@rootless
@pytest.mark.integration
def test_one_without_is_told_what_is_lacking(built: Path) -> None:
    said = _build(built, 0)
    assert "buildah bud failed: " in said
    assert "give it ids of its own in /etc/subuid and /etc/subgid, such as: canary:100000:" in said


def test_nothing_is_lacking_where_all_is_there() -> None:
    assert lacking(USER) == lacking(ALL_OF_ROOT) == ()


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (replace(USER, name=""), "give the user 1000 a name"),
        (
            replace(USER, helpers=frozenset({"newgidmap"})),
            r"install newuidmap \(apt install",
        ),
        (replace(USER, ranges=frozenset({"/etc/subuid"})), "in /etc/subgid, such as: me:100000:"),
        (replace(USER, frozen=True), "allowPrivilegeEscalation"),
        (replace(USER, switches=("/proc/sys/x",)), "/proc/sys/x forbids it"),
        (replace(ALL_OF_ROOT, capabilities=1 << 6), "capabilities SETUID, SETFCAP$"),
    ],
)
def test_each_thing_that_may_be_lacking_is_named(machine: Machine, said: str) -> None:
    (one,) = lacking(machine)
    assert re.search(said, one)


def test_root_with_three_rights_lacks_none() -> None:
    assert lacking(replace(ALL_OF_ROOT, capabilities=1 << 6 | 1 << 7 | 1 << 31)) == ()


def test_this_machine_is_looked_at() -> None:
    machine = this_machine()
    assert machine.uid == os.getuid()
    assert machine.helpers == {name for name in ("newuidmap", "newgidmap") if shutil.which(name)}
    if machine.uid == 0:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "getuid", lambda: 4242)
            assert (this_machine().name, this_machine().ranges) == ("", frozenset())
