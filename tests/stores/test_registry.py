"""Against Debian's docker-registry, started by the tests."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from bad_registry import Exchange, bad_registry
from click.testing import CliRunner
from real_registry import RealRegistry, find_registry, running_registry

from coalmine._base.errors import CoalmineError, InputError
from coalmine.cli import cli
from coalmine.registry.address import parse_remote
from coalmine.registry.client import Manifest, open_repository
from coalmine.registry.options import RegistryOptions
from coalmine.registry.source import bytes_source
from coalmine.stores import artifact
from coalmine.stores.context import digest_of_folder
from coalmine.stores.limits import Limits
from coalmine.stores.local import LocalStore
from coalmine.stores.pack import tar_of
from coalmine.stores.registry import RegistryStore
from coalmine.stores.select import select_store

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(find_registry() is None, reason="docker-registry cannot be had here"),
]
HTPASSWD = "me:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"  # of "secret"
IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"
Opener = Callable[[Limits], RegistryStore]
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def opener(registry: RealRegistry, tmp_path: Path) -> Opener:
    place = f"oci://{registry.host}/{tmp_path.name.replace('_', '-').lower().strip('-')}"
    return lambda limits: RegistryStore(place, RegistryOptions(), limits)


@pytest.fixture
def store(opener: Opener) -> RegistryStore:
    return opener(Limits())


@pytest.fixture
def context(home: Path, tmp_path: Path) -> Path:
    LocalStore(home).find("iris", "v10").fetch(tmp_path / "context")
    return tmp_path / "context"


def test_what_is_pushed_comes_back(store: RegistryStore, context: Path, tmp_path: Path) -> None:
    sent: list[int] = []
    pushed = store.push(context, ("iris", "v10"), report=sent.append)
    assert sum(sent) >= pushed.sent_bytes - 2 > 0
    for asked in ("", "latest", "v10"):
        assert store.resolve("iris", asked) == "v10"
    found = store.find("iris", "v10")
    found.fetch(tmp_path / "back")
    assert digest_of_folder(tmp_path / "back") == digest_of_folder(context)
    assert found.source == f"{store.url}/iris@{pushed.digest}"
    assert not (tmp_path / "part").exists()


def test_the_same_content_is_not_sent_again(store: RegistryStore, context: Path) -> None:
    first = store.push(context, ("iris", "v10"))
    again = store.push(context, ("iris", "v10"))
    assert (again.sent_bytes, again.digest) == (0, first.digest)


def test_a_model_that_did_not_change_is_not_sent_again(store: RegistryStore, context: Path) -> None:
    weights = context / "models" / "iris_model" / "v2" / "model.bin"
    weights.write_bytes(b"x" * 2_000_000)
    assert store.push(context, ("iris", "v10")).sent_bytes > 2_000_000
    (context / "src" / "service.py").write_text("answer = 43\n")
    assert store.push(context, ("iris", "v10"), replace=True).sent_bytes < 20_000


def test_another_content_is_refused_unless_it_shall_replace(
    store: RegistryStore, context: Path
) -> None:
    store.push(context, ("iris", "v10"))
    (context / "src" / "service.py").write_text("answer = 43\n")
    with pytest.raises(InputError, match="already, with another content"):
        store.push(context, ("iris", "v10"))


def test_a_push_that_was_cut_off_is_not_taken_for_one_that_has_ended(
    home: Path, tmp_path: Path
) -> None:
    with bad_registry() as bad:
        store = RegistryStore(f"oci://{bad.host}/me", RegistryOptions(), Limits())
        for version in ("v2", "v10"):
            LocalStore(home).find("iris", version).fetch(tmp_path / version)
        store.push(tmp_path / "v2", ("iris", "v2"))
        bad.misbehave = lambda e: (
            e.command == "PUT" and e.path.endswith("manifests/v10") and e.answer(403)
        )
        with pytest.raises(InputError, match="answered 403"):
            store.push(tmp_path / "v10", ("iris", "v10"))
        bad.misbehave = lambda e: False
        with pytest.raises(CoalmineError, match="its push has not ended") as caught:
            store.resolve("iris", "latest")
        assert caught.value.exit_code == 1
        store.push(tmp_path / "v10", ("iris", "v10"))
        assert store.resolve("iris", "latest") == "v10"


def test_what_was_found_is_fetched_though_its_tag_moves(
    store: RegistryStore, context: Path, tmp_path: Path
) -> None:
    store.push(context, ("iris", "v10"))
    found, before = store.find("iris", "v10"), digest_of_folder(context)
    (context / "src" / "service.py").write_text("answer = 43\n")
    store.push(context, ("iris", "v10"), replace=True)
    found.fetch(tmp_path / "back")
    assert digest_of_folder(tmp_path / "back") == before


def test_what_is_not_there_is_told(store: RegistryStore, context: Path) -> None:
    for version in ("", "v1"):
        with pytest.raises(InputError, match="there is no bento 'iris'"):
            store.find("iris", store.resolve("iris", version))
    store.push(context, ("iris", "v10"))
    with pytest.raises(InputError, match="no bento iris:v3") as caught:
        store.find("iris", "v3")
    assert caught.value.fix == "release one of: v10"


def test_bentos_are_listed_the_newest_last(store: RegistryStore, context: Path) -> None:
    assert store.names() == {}
    for version in ("v3", "v10", "v2"):
        bento = context / "bento.yaml"
        bento.write_text(re.sub("version: v[0-9]+", f"version: {version}", bento.read_text()))
        store.push(context, ("iris", version))
    with open_repository(parse_remote(f"{store.url}/image").repository, RegistryOptions()) as other:
        blob = bytes_source(b"{}")
        other.push_blobs([blob])
        item = {"mediaType": "application/x", "digest": blob.digest, "size": 2}
        content = {"schemaVersion": 2, "mediaType": IMAGE_TYPE, "config": item, "layers": []}
        other.push_manifest(Manifest(json.dumps(content).encode(), IMAGE_TYPE), "v1")
    found = store.names()
    assert found["iris"] == ["v10", "v3", "v2"]
    said = CliRunner().invoke(cli, ["bentos", store.url]).stdout
    assert "iris  v10 v3 v2\n" in said


def test_a_registry_that_tells_nothing_is_told_of() -> None:
    with bad_registry() as registry:
        store = RegistryStore(f"oci://{registry.host}/me", RegistryOptions(), Limits())
        with pytest.raises(InputError, match="does not tell"):
            store.names()


def test_pages_are_followed_to_the_last() -> None:
    pages = {"": (["me/a", "me/b"], "b"), "b": (["me/c/d", "other/x"], "")}

    def misbehave(exchange: Exchange) -> bool:
        place = urlsplit(exchange.path)
        if not place.path.endswith("_catalog"):
            return exchange.answer(200, b'{"tags": null}')
        names, after = pages[parse_qs(place.query).get("last", [""])[0]]
        link = {"Link": f'</v2/_catalog?n=2&last={after}>; rel="next"'} if after else {}
        return exchange.answer(200, json.dumps({"repositories": names}).encode(), **link)

    with bad_registry() as registry:
        registry.misbehave = misbehave
        store = RegistryStore(f"oci://{registry.host}/me", RegistryOptions(), Limits())
        assert store.names() == {}
        asked = [path for path in registry.requests("GET") if "_catalog" in path]
        assert asked == ["/v2/_catalog", "/v2/_catalog?n=2&last=b"]
        assert {path for path in registry.requests("GET") if "tags" in path} == {
            "/v2/me/a/tags/list",
            "/v2/me/b/tags/list",
        }
        registry.misbehave = lambda exchange: exchange.answer(200, b"<html>")
        with pytest.raises(CoalmineError, match="cannot be read"):
            store.names()


def test_a_store_that_wants_credentials_gets_them(context: Path, tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    auth: dict[str, object] = {"htpasswd": {"realm": "here", "path": str(tmp_path / "htpasswd")}}
    with running_registry(tmp_path / "registry", auth=auth) as registry:
        place = f"oci://{registry.host}/me"
        login = base64.b64encode(b"me:secret").decode()
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"auths": {registry.host: {"auth": login}}}))
        store = RegistryStore(place, RegistryOptions(credential_files=(config,)), Limits())
        store.push(context, ("iris", "v10"))
        store.find("iris", store.resolve("iris", "latest")).fetch(tmp_path / "back")
        assert store.names() == {"iris": ["v10"]}
        with pytest.raises(InputError, match="answered 401"):
            RegistryStore(place, RegistryOptions(), Limits()).find("iris", "v10")
    assert digest_of_folder(tmp_path / "back") == digest_of_folder(context)


def test_a_store_is_named_by_url(store: RegistryStore, context: Path, tmp_path: Path) -> None:
    store.push(context, ("iris", "v10"))
    assert select_store(store.url, own=tmp_path).resolve("iris", "") == "v10"


@pytest.mark.parametrize("reference", ["oci://", "oci://host", "oci://h.x/a:b", "oci://h.x/A"])
def test_a_url_that_is_no_place_is_refused(reference: str) -> None:
    with pytest.raises(InputError, match="store: "):
        RegistryStore(reference, RegistryOptions(), Limits())


def test_more_than_is_allowed_is_not_downloaded(
    opener: Opener, context: Path, tmp_path: Path
) -> None:
    opener(Limits()).push(context, ("iris", "v10"))
    with pytest.raises(InputError, match="COALMINE_MAX_BENTO_BYTES"):
        opener(Limits(size=100)).find("iris", "v10").fetch(tmp_path / "back")


def _forge(store: RegistryStore, context: Path, change: Change) -> None:
    packed = artifact.pack(context)
    content = json.loads(packed.manifest.content)
    change(content)
    with open_repository(parse_remote(f"{store.url}/iris").repository, RegistryOptions()) as remote:
        escape = bytes_source(b"".join(tar_of(context)))
        remote.push_blobs([*packed.blobs, escape])
        remote.push_manifest(Manifest(json.dumps(content).encode(), IMAGE_TYPE), "v10")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.update(artifactType="application/x"), "is no bento"),
        (lambda m: m.pop("annotations"), "is no bento"),
        (lambda m: m["layers"][0].update(mediaType="application/x"), "is no bento"),
        (lambda m: m["layers"][1].update(size=5), "larger than was said"),
        (lambda m: m["layers"].pop(), "should hold"),
        (lambda m: m["layers"].append(m["layers"][0]), "is in it twice"),
        (lambda m: m["annotations"].update({"dev.coalmine.content": "x"}), "should hold x"),
    ],
)
def test_a_forged_manifest_is_refused(
    store: RegistryStore, context: Path, tmp_path: Path, change: Change, said: str
) -> None:
    _forge(store, context, change)
    with pytest.raises(CoalmineError, match=said):
        store.find("iris", "v10").fetch(tmp_path / "back")


def test_another_bento_under_the_name_is_refused(
    store: RegistryStore, context: Path, tmp_path: Path
) -> None:
    store.push(context, ("iris", "v11"))
    with pytest.raises(InputError, match="says it is iris:v10"):
        store.find("iris", "v11").fetch(tmp_path / "back")
