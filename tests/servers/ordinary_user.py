"""Build a bento by buildah as a user who is not root; run in a mount namespace of its own.

    unshare --mount python ordinary_user.py CONTEXT WORK IDS

``WORK`` is a folder, ``IDS`` how many ids the user has besides its own. The users of the machine
stay as they are: its files about them are covered, in this namespace alone. Prints the image, or
the error.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from coalmine._base.errors import CoalmineError
from coalmine.images.buildah import BuildahBuilder

USER, UID = "canary", 61234


def main(context: Path, work: Path, ids: int) -> None:
    home = work / "home"
    for folder in (home, home / "run"):
        folder.mkdir(mode=0o700)
        os.chown(folder, UID, UID)
    ranges = f"{USER}:200000:{ids}\n" if ids else ""
    for name, more in {
        "passwd": f"{USER}:x:{UID}:{UID}::{home}:/bin/sh\n",
        "group": f"{USER}:x:{UID}:\n",
        "subuid": ranges,
        "subgid": ranges,
    }.items():
        place = Path("/etc", name)
        cover = work / name
        cover.write_text(more if name.startswith("sub") else place.read_text() + more)
        cover.chmod(0o644)
        subprocess.run(["mount", "--bind", str(cover), str(place)], check=True)
    os.setgroups([])
    os.setgid(UID)
    os.setuid(UID)
    os.environ |= {"HOME": str(home), "TMPDIR": str(home), "USER": USER}
    os.environ["XDG_RUNTIME_DIR"] = str(home / "run")  # as a login makes one
    os.chdir(home)
    try:
        built = BuildahBuilder(home / "storage").build(context, str(home / "images"))
    except CoalmineError as error:
        print(error)
    else:
        print(built.reference)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
