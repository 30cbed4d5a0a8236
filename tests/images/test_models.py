from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from bad_registry import bad_registry
from base_images import push_base

from coalmine._base.errors import InputError
from coalmine.images.compression import unpacked
from coalmine.images.config import LAYER_TYPES
from coalmine.images.kinds import MODEL, find_kind
from coalmine.images.layered import LayeredBuilder
from coalmine.images.models import plan_models
from coalmine.images.plan import Entry, Kind
from coalmine.images.platforms import Platform
from coalmine.images.unpack import unpack
from coalmine.serving.kserve.schema import faults

BOTH = (Platform("amd64"), Platform("arm64"))
PACKED = {media: name for name, media in LAYER_TYPES.items()}
# What KServe gives a modelcar and the container that looks at it first, word for word in shell.
LINK = ["sh", "-c", "ln -sf /proc/$$/root/models /mnt/models && sleep infinity"]
LOOK = ["sh", "-c", '[ -d /models ] && [ "$(ls -A /models)" ]']
ROOT = Path(__file__).parent.parent.parent
KSERVE = ROOT / "deploy" / "kserve"
chroots = pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("chroot") is None or os.uname().machine != "x86_64",
    reason="needs root, chroot and x86-64",
)


@pytest.fixture
def builder(tmp_path: Path) -> LayeredBuilder:
    return LayeredBuilder(platforms=BOTH, cache=tmp_path / "cache", kind=MODEL)


def _read(layout: Path, digest: str) -> Any:
    return json.loads((layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes())


def _image(layout: Path, digest: str, architecture: str = "amd64") -> tuple[Any, Any]:
    """Read an image's manifest and configuration."""
    top = _read(layout, digest)
    for item in top.get("manifests", ()):
        if item["platform"]["architecture"] == architecture:
            top = _read(layout, item["digest"])
    return top, _read(layout, top["config"]["digest"])


# Python 3.11 knows filters since 3.11.4, and Debian 12 has 3.11.2.
AS_IT_IS: dict[str, Any] = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}


def _root(layout: Path, digest: str, into: Path) -> Path:
    """Lay an image's layers over one another, as a container's runtime does."""
    manifest, _ = _image(layout, digest)
    for item in manifest["layers"]:
        with (layout / "blobs/sha256" / item["digest"][7:]).open("rb") as file:
            plain = unpacked(file, PACKED[item["mediaType"]])
            with tarfile.open(fileobj=plain, mode="r|") as archive:
                archive.extractall(into, **AS_IT_IS)
    return into


def test_a_model_lies_by_itself_where_kserve_looks_for_it(
    builder: LayeredBuilder, context: Path, tmp_path: Path
) -> None:
    built = builder.build(context, str(tmp_path / "images"))
    root = _root(tmp_path / "images", built.digest, tmp_path / "root")
    assert (root / "models/model.bin").read_bytes() == b"weights"
    assert not (root / "home").exists()
    assert [p.name for p in (root / "models").iterdir()] == ["model.bin"]
    for path in (root / "models", root / "models/model.bin"):
        assert path.stat().st_mode & 0o444 == 0o444
    index = json.loads((tmp_path / "images/index.json").read_text())
    assert index["manifests"][0]["annotations"] == {"org.opencontainers.image.ref.name": "v1-model"}


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_the_base_is_the_small_one_and_no_root_is_asked_for(
    builder: LayeredBuilder, context: Path, tmp_path: Path, architecture: str
) -> None:
    built = builder.build(context, str(tmp_path / "images"))
    manifest, config = _image(tmp_path / "images", built.digest, architecture)
    assert config["architecture"] == architecture
    assert config["config"]["User"] == "1000:1000"
    assert config["config"]["Entrypoint"] == ["/bin/link-model-and-wait"]
    assert sum(item["size"] for item in manifest["layers"]) < 1_400_000
    assert (
        "odh-modelcar-base-image" in manifest["annotations"]["org.opencontainers.image.base.name"]
    )


def test_two_machines_make_one_image_of_models(
    context_writer: Callable[..., Path], tmp_path: Path
) -> None:
    digests = set()
    for name in ("one", "two"):
        context = context_writer(tmp_path / name / "context")
        builder = LayeredBuilder(platforms=BOTH, kind=MODEL)
        digests.add(builder.build(context, str(tmp_path / name / "images")).digest)
    assert len(digests) == 1


def test_it_goes_to_a_registry_with_its_base_and_beside_the_bento(
    builder: LayeredBuilder, context: Path
) -> None:
    with bad_registry() as registry:
        built = builder.build(context, f"{registry.host}/me/iris")
        assert built.reference == f"{registry.host}/me/iris@{built.digest}"
        assert "v1-model" in registry.manifests
        assert builder.build(context, f"{registry.host}/me/iris").sent_bytes == 0


def test_a_bento_with_needs_gives_a_model_all_the_same(
    builder: LayeredBuilder, context: Path, tmp_path: Path
) -> None:
    with (context / "bento.yaml").open("a") as file:
        file.write("docker:\n  system_packages: [git]\n")
    assert builder.build(context, str(tmp_path / "images")).written_bytes


def test_several_models_have_a_folder_each() -> None:
    def entries(*tags: str) -> list[Entry]:
        return [Entry(f"models/{tag}/model.bin") for tag in tags]

    assert [layer.root for layer in plan_models(entries("a/1"))] == ["models"]
    two = plan_models([*entries("a/1", "b/1"), Entry("src/service.py"), Entry("models/a/latest")])
    assert [(layer.title, layer.root) for layer in two] == [
        ("model a:1", "models/a"),
        ("model b:1", "models/b"),
    ]
    assert [layer.root for layer in plan_models(entries("a/1", "a/2"))] == [
        "models/a/1",
        "models/a/2",
    ]


def test_without_a_model_it_is_wrong_input() -> None:
    with pytest.raises(InputError, match=r"^kind: the bento holds no model"):
        plan_models([Entry("src/service.py")])


def test_a_link_out_of_the_model_is_refused_though_it_stays_in_the_bento() -> None:
    link = Entry("models/a/1/code.py", Kind.LINK, target="../../../src/service.py")
    with pytest.raises(InputError, match="leads out of the model"):
        plan_models([Entry("models/a/1/model.bin"), link])


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="no kind of image 'modelcar'"):
        find_kind("modelcar")


def test_a_model_is_not_served_as_a_bento(
    builder: LayeredBuilder, context: Path, tmp_path: Path
) -> None:
    built = LayeredBuilder(kind=MODEL, base="none").build(context, str(tmp_path / "images"))
    with pytest.raises(InputError, match="holds no bento"):
        unpack(built.reference, tmp_path / "out")


@chroots
@pytest.mark.integration
def test_kserves_words_let_the_server_see_the_model(
    builder: LayeredBuilder, context: Path, tmp_path: Path
) -> None:
    built = builder.build(context, str(tmp_path / "images"))
    root = _root(tmp_path / "images", built.digest, tmp_path / "root")
    _, config = _image(tmp_path / "images", built.digest)
    (root / "mnt").mkdir(mode=0o777)
    (root / "mnt").chmod(0o777)
    entrypoint = config["config"]["Entrypoint"]
    with _in(root, [*entrypoint, *LOOK]) as looks:
        assert looks.wait(20) == 0
    with _in(root, [*entrypoint, *LINK]) as car:
        end = time.monotonic() + 20
        while not (root / "mnt/models").is_symlink() and time.monotonic() < end:
            assert car.poll() is None
            time.sleep(0.01)
        linked = (root / "mnt/models").readlink()
        assert str(linked) == f"/proc/{car.pid}/root/models"
        seen = {user: _cat(linked / "model.bin", user) for user in (1000, 1001)}
        assert seen == {1000: b"weights", 1001: b""}
        car.terminate()


@chroots
@pytest.mark.integration
def test_an_init_container_copies_the_model_to_a_volume(context: Path, tmp_path: Path) -> None:
    with bad_registry() as registry:
        base = f"{registry.host}/base/tools:v1"
        push_base(registry.host, "base/tools", tag="v1", architectures=("amd64",), tree=_tools())
        builder = LayeredBuilder(
            platforms=BOTH[:1], cache=tmp_path / "cache", kind=MODEL, base=base
        )
        built = builder.build(context, str(tmp_path / "images"))
    root = _root(tmp_path / "images", built.digest, tmp_path / "root")
    volume = root / "mnt/models"
    volume.mkdir(parents=True)
    volume.chmod(0o777)
    pod = yaml.safe_load((KSERVE / "init-container.yaml").read_text())["spec"]["predictor"]
    with _in(root, pod["initContainers"][0]["command"]) as copies:
        assert copies.wait(20) == 0
    assert (volume / "model.bin").read_bytes() == b"weights"
    assert (volume / "model.bin").stat().st_uid == 1000


@pytest.mark.parametrize("name", ["modelcar", "init-container"])
def test_the_manifests_hold_against_kserves_schema(name: str) -> None:
    manifest = yaml.safe_load((KSERVE / f"{name}.yaml").read_text())
    assert faults(manifest) == []
    manifest["spec"]["predictor"]["initContainer"] = []
    assert faults(manifest)


def _in(root: Path, words: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["chroot", "--userspec=1000:1000", str(root), *words], stdout=subprocess.DEVNULL
    )


def _cat(path: Path, user: int) -> bytes:
    done = subprocess.run(
        ["cat", str(path)], user=user, group=user, extra_groups=[], capture_output=True, check=False
    )
    return done.stdout


def _tools() -> bytes:
    """Give this machine's cp, and what it needs, as a layer."""
    said = subprocess.run(["ldd", "/bin/cp"], capture_output=True, text=True, check=True).stdout
    needed = {word for word in said.split() if word.startswith("/")}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path in sorted({"/bin/cp", *needed}):
            archive.add(Path(path).resolve(), path.lstrip("/"))
    return out.getvalue()
