from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.layered import LayeredBuilder
from coalmine.images.tree import Tree
from coalmine.images.unpack import unpack

Member = tuple[tarfile.TarInfo, bytes]


def _member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, to: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, to, len(content)
    return info, content


BENTO = _member("home/bentoml/bento/bento.yaml", b"name: x")


def _tar(members: list[Member]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _blob(folder: Path, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (folder / "blobs" / "sha256" / digest).write_bytes(content)
    return f"sha256:{digest}"


def _image(
    folder: Path,
    *layers: bytes,
    media_type: str = "application/vnd.oci.image.layer.v1.tar+gzip",
) -> str:
    described = [
        {"digest": _blob(folder, layer), "size": len(layer), "mediaType": media_type}
        for layer in layers
    ]
    manifest = json.dumps({"layers": described}).encode()
    return f"oci-layout://{folder}@{_blob(folder, manifest)}"


def _hostile(folder: Path, *members: Member) -> str:
    return _image(folder, gzip.compress(_tar([*members, BENTO])))


def test_what_was_built_comes_out_again(context: Path, tmp_path: Path) -> None:
    built = LayeredBuilder().build(context, str(tmp_path / "my images"))
    bento = unpack(built.reference, tmp_path / "out" / "revision")
    assert bento == tmp_path / "out" / "revision" / "home" / "bentoml" / "bento"
    assert (bento / "models/iris_model/v1/model.bin").read_bytes() == b"weights"
    assert (bento / "src/again.py").read_text() == "answer = 42\n"
    assert (bento / "src/again.py").is_symlink()
    assert (bento / "src/empty").is_dir()
    assert os.access(bento / "env/docker/entrypoint.sh", os.X_OK)
    assert [item.name for item in (tmp_path / "out").iterdir()] == ["revision"]


def test_the_second_time_nothing_is_touched(context: Path, tmp_path: Path) -> None:
    built = LayeredBuilder().build(context, str(tmp_path / "images"))
    bento = unpack(built.reference, tmp_path / "out")
    (bento / "src" / "added").write_text("by the server")
    assert unpack(built.reference, tmp_path / "out") == bento
    assert (bento / "src" / "added").exists()


def test_many_at_once_end_well(context: Path, tmp_path: Path) -> None:
    built = LayeredBuilder().build(context, str(tmp_path / "images"))
    with ThreadPoolExecutor(6) as pool:
        bentos = set(pool.map(lambda _: unpack(built.reference, tmp_path / "out"), range(6)))
    assert len(bentos) == 1
    assert (bentos.pop() / "bento.yaml").is_file()
    assert {item.name for item in tmp_path.iterdir()} == {"context", "images", "out"}


def test_a_folder_with_something_else_is_left_alone(context: Path, tmp_path: Path) -> None:
    built = LayeredBuilder().build(context, str(tmp_path / "images"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    with pytest.raises(InputError, match="holds something else"):
        unpack(built.reference, tmp_path / "out")
    assert [item.name for item in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (_member("/etc/evil", b"x"), "would leave"),
        (_member("../evil", b"x"), "would leave"),
        (_member("a/../../evil", b"x"), "would leave"),
        (_member("a/..", b"", tarfile.DIRTYPE), "would leave"),
        (_member("link", kind=tarfile.SYMTYPE, to="/etc/passwd"), "leads out"),
        (_member("a/link", kind=tarfile.SYMTYPE, to="../../x"), "leads out"),
        (_member("link", kind=tarfile.SYMTYPE, to="a/../.."), "leads out"),
        (_member("hard", kind=tarfile.LNKTYPE, to="/etc/passwd"), "neither file"),
        (_member("pipe", kind=tarfile.FIFOTYPE), "neither file"),
        (_member("null", kind=tarfile.CHRTYPE), "neither file"),
        (_member("a/.wh.b", b""), "takes away"),
    ],
)
def test_hostile_members_are_refused_and_nothing_is_left(
    tmp_path: Path, member: Member, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        unpack(_hostile(tmp_path / "images", member), tmp_path / "out" / "revision")
    assert list((tmp_path / "out").iterdir()) == []
    assert sorted(item.name for item in tmp_path.iterdir()) == ["images", "out"]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    link = _member("d", kind=tarfile.SYMTYPE, to="home")
    behind = _member("d/file", b"x")
    with pytest.raises(InputError, match="lies behind the link d"):
        unpack(_hostile(tmp_path / "images", link, behind), tmp_path / "out")
    with pytest.raises(InputError, match="both a folder and a link"):
        unpack(_hostile(tmp_path / "images", behind, link), tmp_path / "out")


def test_a_link_of_a_lower_layer_cannot_be_written_through(tmp_path: Path) -> None:
    lower = gzip.compress(_tar([_member("d", kind=tarfile.SYMTYPE, to="home"), BENTO]))
    upper = gzip.compress(_tar([_member("d/file", b"x")]))
    with pytest.raises(InputError, match="lies behind the link d"):
        unpack(_image(tmp_path / "images", lower, upper), tmp_path / "out")


def test_a_higher_layer_replaces_files_and_links(tmp_path: Path) -> None:
    link = _member("a", kind=tarfile.SYMTYPE, to="home")
    lower = gzip.compress(_tar([link, _member("b", b"old"), BENTO]))
    upper = gzip.compress(_tar([_member("a", b"file"), _member("b", b"new")]))
    unpack(_image(tmp_path / "images", lower, upper), tmp_path / "out")
    assert (tmp_path / "out" / "a").read_bytes() == b"file"
    assert not (tmp_path / "out" / "a").is_symlink()
    assert (tmp_path / "out" / "b").read_bytes() == b"new"


def test_special_bits_and_owners_are_not_taken_over(tmp_path: Path) -> None:
    info, content = _member("program", b"x")
    info.mode, info.uid = 0o6777, 4242
    unpack(_hostile(tmp_path / "images", (info, content)), tmp_path / "out")
    made = (tmp_path / "out" / "program").stat()
    assert stat.S_IMODE(made.st_mode) == 0o755
    assert made.st_uid == os.getuid()


def test_a_plain_tar_is_read_too(tmp_path: Path) -> None:
    plain = "application/vnd.oci.image.layer.v1.tar"
    image = _image(tmp_path / "images", _tar([BENTO]), media_type=plain)
    assert (unpack(image, tmp_path / "out") / "bento.yaml").is_file()


def _truncated() -> bytes:
    return gzip.compress(_tar([_member("file", os.urandom(5000)), BENTO]))[:3000]


@pytest.mark.parametrize("layer", [b"", b"garbage" * 200, _truncated()])
def test_a_layer_that_is_no_tar_is_refused(tmp_path: Path, layer: bytes) -> None:
    with pytest.raises(InputError, match=r"is no gzip tar|holds no bento"):
        unpack(_image(tmp_path / "images", layer), tmp_path / "out" / "revision")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_unknown_kind_of_layer_is_named(tmp_path: Path) -> None:
    image = _image(tmp_path / "images", b"", media_type="application/x-strange")
    with pytest.raises(InputError, match="unknown kind application/x-strange"):
        unpack(image, tmp_path / "out")


def test_an_image_without_a_bento_is_refused(tmp_path: Path) -> None:
    image = _image(tmp_path / "images", gzip.compress(_tar([_member("file", b"")])))
    with pytest.raises(InputError, match="holds no bento"):
        unpack(image, tmp_path / "out")


def _flip(blob: Path) -> None:
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)


@pytest.mark.parametrize("harm", [_flip, Path.unlink])
def test_every_blob_that_is_read_is_verified(
    context: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    built = LayeredBuilder().build(context, str(tmp_path / "images"))
    manifest = tmp_path / "images/blobs" / built.digest.replace(":", "/")
    layers = [layer["digest"] for layer in json.loads(manifest.read_text())["layers"]]
    for digest in [*layers, built.digest]:
        blob = tmp_path / "images/blobs" / digest.replace(":", "/")
        content = blob.read_bytes()
        harm(blob)
        with pytest.raises(InputError, match=r"was damaged|there is no"):
            unpack(built.reference, tmp_path / "out")
        blob.write_bytes(content)
    assert unpack(built.reference, tmp_path / "out").is_dir()


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "oci-layout:///x",
        "oci-layout:///x@sha256:12",
        f"oci-layout://x@sha256:{'0' * 64}",
        f"docker://x/y@sha256:{'0' * 64}",
        "oci-layout:///x:latest",
    ],
)
def test_references_that_are_not_by_digest_are_refused(tmp_path: Path, reference: str) -> None:
    with pytest.raises(InputError):
        unpack(reference, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("manifest", [b"{}", b"[]", b"no", b'{"layers": [{"digest": "x"}]}'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, manifest: bytes) -> None:
    digest = _blob(tmp_path / "images", manifest)
    with pytest.raises(InputError, match="is no image manifest"):
        unpack(f"oci-layout://{tmp_path}/images@{digest}", tmp_path / "out")


def test_a_place_that_cannot_be_written_is_a_failure_that_may_pass(
    context: Path, tmp_path: Path
) -> None:
    built = LayeredBuilder().build(context, str(tmp_path / "images"))
    (tmp_path / "file").write_text("")
    with pytest.raises(CoalmineError, match="could not be unpacked") as caught:
        unpack(built.reference, tmp_path / "file" / "out")
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda tar: tar[:512] + b"x" * 512 + tar[1024:], "damaged"),
        (lambda tar: tar[:1024], "cut off"),
        (lambda tar: _long_name() + tar, "absurd length"),
    ],
)
def test_a_layer_with_a_damaged_header_is_refused(
    tmp_path: Path, harm: Callable[[bytes], bytes], said: str
) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("home", "home/a", "home/b"):
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE
            archive.addfile(member)
    with pytest.raises(InputError, match=said):
        Tree(tmp_path).add_layer(io.BytesIO(harm(out.getvalue())), "none")


def _long_name() -> bytes:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    return member.tobuf(tarfile.GNU_FORMAT)


def test_one_that_ends_between_two_looks_is_no_stranger(
    context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = LayeredBuilder().build(context, str(tmp_path / "images"))
    unpack(built.reference, tmp_path / "ready")
    looked: list[Path] = []
    exists = Path.exists

    def look(path: Path) -> bool:
        if path == tmp_path / "out" and not looked:
            looked.append(path)
            (tmp_path / "ready").rename(path)
        return exists(path)

    monkeypatch.setattr(Path, "exists", look)
    assert (unpack(built.reference, tmp_path / "out") / "bento.yaml").is_file()
    assert looked
