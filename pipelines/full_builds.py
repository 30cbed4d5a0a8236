"""The release pipeline with a full build of the bento's Dockerfile, one pipeline a builder.

Each runs its build task in an image that has the builder beside coalmine, as the user that the
builder bears least of: buildah and kaniko lay files out as root does, BuildKit needs no root.
"""

from parts import Builder
from release import release_with

__all__ = ["release_buildah", "release_buildkit", "release_kaniko"]

IMAGE = "ghcr.io/coalmine-dev/coalmine-{name}:0.1.0"
ROOT, ROOTLESS = 0, 1000


def _builder(name: str, user: int) -> Builder:
    return Builder(name, IMAGE.format(name=name), user)


release_buildah = release_with(_builder("buildah", ROOT))
release_buildkit = release_with(_builder("buildkit", ROOTLESS))
release_kaniko = release_with(_builder("kaniko", ROOT))
