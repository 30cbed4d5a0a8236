"""Against SeaweedFS, started by the tests."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import S3Store
from seaweed import Seaweed
from tls_front import tls_front

from coalmine._base.errors import CoalmineError, InputError
from coalmine.stores.bucket import BucketStore
from coalmine.stores.context import digest_of_folder
from coalmine.stores.limits import Limits
from coalmine.stores.local import LocalStore
from coalmine.stores.objects import open_objects
from coalmine.stores.pack import tar_of

pytestmark = pytest.mark.integration


@pytest.fixture
def store(s3: str) -> BucketStore:
    return BucketStore(open_objects(s3, field="store"), Limits())


@pytest.fixture
def context(home: Path, tmp_path: Path) -> Path:
    LocalStore(home).find("iris", "v10").fetch(tmp_path / "context")
    return tmp_path / "context"


Write = Callable[[str, bytes], Any]


@pytest.fixture
def write(s3: str, seaweed: Seaweed) -> Write:
    """Write an object as another program would, with no digest noted."""
    client = S3Store(
        s3.split("/")[2], endpoint=seaweed.endpoint, client_options={"allow_http": True}
    )
    prefix = s3.split("/", 3)[3]
    return lambda key, content: obstore.put(client, f"{prefix}/{key}", content)


def test_what_is_pushed_comes_back(store: BucketStore, context: Path, tmp_path: Path) -> None:
    sent: list[int] = []
    pushed = store.push(context, ("iris", "v10"), report=sent.append)
    store.find("iris", store.resolve("iris", "v10")).fetch(tmp_path / "back")
    assert digest_of_folder(tmp_path / "back") == digest_of_folder(context)
    assert pushed.reference == f"{store.url}/iris/v10.bento"
    assert sum(sent) == pushed.sent_bytes > 0
    assert not (tmp_path / "archive").exists()


def test_a_bento_of_many_parts_comes_back(
    store: BucketStore, tmp_path: Path, bento_writer: Callable[..., Path]
) -> None:
    bento_writer(tmp_path / "home", weights=os.urandom(18_000_000))
    LocalStore(tmp_path / "home").find("iris", "v1").fetch(tmp_path / "context")
    store.push(tmp_path / "context", ("iris", "v1"))
    store.find("iris", "v1").fetch(tmp_path / "back")
    assert digest_of_folder(tmp_path / "back") == digest_of_folder(tmp_path / "context")


def test_the_same_content_is_not_sent_again(store: BucketStore, context: Path) -> None:
    first = store.push(context, ("iris", "v10"))
    assert store.push(context, ("iris", "v10")).sent_bytes == 0
    assert store.push(context, ("iris", "v10")).digest == first.digest


def test_another_content_is_refused_unless_it_shall_replace(
    store: BucketStore, context: Path, tmp_path: Path
) -> None:
    store.push(context, ("iris", "v10"))
    (context / "src" / "service.py").write_text("answer = 43\n")
    with pytest.raises(InputError, match="already, with another content"):
        store.push(context, ("iris", "v10"))
    assert store.push(context, ("iris", "v10"), replace=True).sent_bytes > 0
    store.find("iris", "v10").fetch(tmp_path / "back")
    assert (tmp_path / "back" / "src" / "service.py").read_text() == "answer = 43\n"


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress, bytes], ids=["xz", "gzip", "tar"])
def test_what_another_program_wrote_is_read(
    store: BucketStore,
    write: Write,
    context: Path,
    tmp_path: Path,
    pack: Callable[[bytes], bytes],
) -> None:
    write("iris/v10.bento", pack(b"".join(tar_of(context))))
    store.find("iris", "v10").fetch(tmp_path / "back")
    assert digest_of_folder(tmp_path / "back") == digest_of_folder(context)


def test_the_last_written_is_the_latest(store: BucketStore, write: Write, context: Path) -> None:
    write("iris/v9.bento", b"")
    write("iris/other/v99.bento", b"")
    write("iris/notes.txt", b"")
    write("iris-flower/v999.bento", b"")
    assert store.resolve("iris", "latest") == "v9"
    first = store.names()
    assert first == {"iris": ["v9"], "iris-flower": ["v999"]}


def test_what_is_not_there_is_told_with_what_is(store: BucketStore, context: Path) -> None:
    with pytest.raises(InputError) as empty:
        store.resolve("iris", "")
    assert "the store is empty" in empty.value.fix
    store.push(context, ("iris", "v10"))
    with pytest.raises(InputError, match="no bento iris:v3") as version:
        store.resolve("iris", "v3")
    assert version.value.fix == "release one of: v10"
    with pytest.raises(InputError, match="no bento 'rose'") as name:
        store.resolve("rose", "")
    assert name.value.fix == "release one of: iris"


@pytest.mark.parametrize("name", ["../iris", "a/b", "", "Iris"])
def test_a_name_cannot_lead_elsewhere(store: BucketStore, name: str) -> None:
    with pytest.raises(InputError, match="is no name of a bento"):
        store.resolve(name, "v1")


def test_a_source_changes_with_the_object(store: BucketStore, context: Path) -> None:
    store.push(context, ("iris", "v10"))
    first = store.find("iris", "v10").source
    assert store.find("iris", "v10").source == first
    (context / "src" / "service.py").write_text("answer = 43\n")
    store.push(context, ("iris", "v10"), replace=True)
    assert store.find("iris", "v10").source != first


def test_another_bento_under_the_name_is_refused(
    store: BucketStore, write: Write, context: Path, tmp_path: Path
) -> None:
    write("iris/v11.bento", b"".join(tar_of(context)))
    with pytest.raises(InputError, match="says it is iris:v10"):
        store.find("iris", "v11").fetch(tmp_path / "back")


def test_a_bento_without_its_model_is_refused(
    store: BucketStore, write: Write, context: Path, tmp_path: Path
) -> None:
    packed = b"".join(tar_of(context, lambda path: not path.startswith("models")))
    write("iris/v10.bento", packed)
    with pytest.raises(InputError, match="its model iris_model:v2 is not in"):
        store.find("iris", "v10").fetch(tmp_path / "back")


def test_bytes_that_differ_from_their_digest_are_refused(
    store: BucketStore, s3: str, context: Path, tmp_path: Path
) -> None:
    objects = open_objects(s3, field="store")
    facts = {"coalmine-sha256": "0" * 64}
    objects.write("iris/v10.bento", tar_of(context), facts)
    with pytest.raises(CoalmineError, match="is damaged"):
        store.find("iris", "v10").fetch(tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_more_than_is_allowed_is_not_even_downloaded(
    s3: str, context: Path, tmp_path: Path
) -> None:
    objects = open_objects(s3, field="store")
    BucketStore(objects, Limits()).push(context, ("iris", "v10"))
    with pytest.raises(InputError, match="more than are allowed"):
        BucketStore(objects, Limits(size=10)).find("iris", "v10").fetch(tmp_path / "back")
    assert not (tmp_path / "archive").exists()


def test_a_folder_that_changes_while_it_is_sent_is_not_kept(
    store: BucketStore, context: Path
) -> None:
    def change(_: int) -> None:
        (context / "src" / "service.py").write_text("answer = 43\n")

    with pytest.raises(CoalmineError, match="changed while"):
        store.push(context, ("iris", "v10"), report=change)
    assert store.names() == {}


def test_one_who_may_only_read_reads(
    store: BucketStore, seaweed: Seaweed, s3: str, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.push(context, ("iris", "v10"))
    for name, value in seaweed.reader.items():
        monkeypatch.setenv(name, value)
    reader = BucketStore(open_objects(s3, field="store"), Limits())
    assert reader.resolve("iris", "") == "v10"
    with pytest.raises(InputError, match="AccessDenied") as caught:
        reader.push(context, ("iris", "v11"))
    assert "AWS_ACCESS_KEY_ID" in caught.value.fix


@pytest.fixture
def front(
    seaweed: Seaweed, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """TLS before the server, and the authority of its certificate, which nobody trusts."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    with tls_front(tmp_path, int(seaweed.endpoint.rpartition(":")[2])) as (port, authority):
        monkeypatch.setenv("COALMINE_S3_ENDPOINT", f"https://127.0.0.1:{port}")
        yield authority


def test_a_server_with_an_authority_of_its_own(
    front: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BucketStore(open_objects(s3, field="store"), Limits())
    with pytest.raises(InputError, match="not trusted: UnknownIssuer") as caught:
        store.names()
    assert "AWS_CA_BUNDLE" in caught.value.fix
    monkeypatch.setenv("AWS_CA_BUNDLE", str(front))
    assert BucketStore(open_objects(s3, field="store"), Limits()).names() == {}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        ("no certificate", "holds no certificates"),
        ("-----BEGIN CERTIFICATE-----\nbad\n-----END CERTIFICATE-----\n", "cannot be set up"),
    ],
)
def test_authorities_that_cannot_be_read_are_told(
    tmp_path: Path, content: str | None, why: str
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    environ = {"AWS_CA_BUNDLE": str(tmp_path / "ca.pem"), "HOME": str(tmp_path)}
    with pytest.raises(InputError, match=why) as caught:
        open_objects("s3://bentos", field="store", environ=environ)
    assert "AWS_CA_BUNDLE" in str(caught.value) + caught.value.fix


@pytest.mark.parametrize("call", ["resolve", "names", "find"])
def test_wrong_credentials_are_told(s3: str, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    store = BucketStore(open_objects(s3, field="store"), Limits())
    calls: dict[str, Callable[[], object]] = {
        "resolve": lambda: store.resolve("iris", ""),
        "names": store.names,
        "find": lambda: store.resolve("iris", "v1"),
    }
    with pytest.raises(InputError, match=r"refuses: (SignatureDoesNotMatch|403)"):
        calls[call]()


@pytest.mark.parametrize("version", ["", "v1"])
def test_a_bucket_that_is_not_there_is_told(s3: str, version: str) -> None:
    store = BucketStore(open_objects("s3://no-such-bucket/x", field="store"), Limits())
    with pytest.raises(InputError, match="there is no bucket"):
        store.resolve("iris", version)
