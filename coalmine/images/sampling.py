"""A few pieces out of a layer's files, to tell what kind of bytes they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from coalmine.images.plan import Kind, Layer

__all__ = ["samples"]

_SAMPLE = 16 << 10
_EVERY = 4 << 20
_MOST = 32
_FIRST = 1 << 20  # what a model begins with often shrinks, and what is smaller is not looked at


def samples(layer: Layer, context: Path) -> Iterator[bytes]:
    """Give 16 KiB out of every 4 MiB, from the second MiB on; 32 such pieces at the most.

    Raises:
        OSError: A file cannot be read.
    """
    files = [layer.file_in(context, one) for one in layer.entries if one.kind is Kind.FILE]
    sizes = [file.stat().st_size for file in files]
    every = max(_EVERY, sum(sizes) // _MOST)
    begin, wanted = 0, _FIRST
    for file, size in zip(files, sizes, strict=True):
        if wanted < begin + size:
            with file.open("rb", buffering=0) as content:
                while wanted < begin + size:
                    content.seek(wanted - begin)
                    yield content.read(_SAMPLE)
                    wanted += every
        begin += size
