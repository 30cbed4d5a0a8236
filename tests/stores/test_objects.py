from __future__ import annotations

from pathlib import Path

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.stores.credentials import keys_from_file
from coalmine.stores.objects import open_objects

CREDENTIALS = """
[default]
aws_access_key_id = one
aws_secret_access_key = two
[work]
aws_access_key_id = three
aws_secret_access_key = f%ur
aws_session_token = five
[sso]
sso_session = mine
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(CREDENTIALS)
    return {"HOME": str(tmp_path)}


def test_the_default_profile_is_read(environ: dict[str, str]) -> None:
    assert keys_from_file(environ) == {"access_key_id": "one", "secret_access_key": "two"}


def test_a_profile_can_be_named(environ: dict[str, str]) -> None:
    found = keys_from_file(environ | {"AWS_PROFILE": "work"})
    assert found == {
        "access_key_id": "three",
        "secret_access_key": "f%ur",
        "session_token": "five",
    }


def test_keys_in_the_environment_come_first(environ: dict[str, str]) -> None:
    assert keys_from_file(environ | {"AWS_ACCESS_KEY_ID": "x", "AWS_PROFILE": "work"}) == {}


def test_without_a_file_there_are_no_keys(tmp_path: Path) -> None:
    assert keys_from_file({"HOME": str(tmp_path)}) == {}


@pytest.mark.parametrize("profile", ["sso", "none"])
def test_a_profile_without_keys_is_refused(environ: dict[str, str], profile: str) -> None:
    with pytest.raises(InputError, match="AWS_PROFILE") as caught:
        keys_from_file(environ | {"AWS_PROFILE": profile})
    assert "export-credentials" in caught.value.fix


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("no section = here\n")
    with pytest.raises(InputError, match="keys is no file of AWS credentials"):
        keys_from_file({"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "keys")})


@pytest.mark.parametrize(
    "url",
    ["s3://", "s3:///x", "s3://A_B/x", "s3://b", "s3://ok-bucket/x?y=z", "s3://ok/a b", "x://ok/a"],
)
def test_a_url_that_is_no_place_is_refused(url: str) -> None:
    with pytest.raises(InputError, match=r"store: .* is no place in a bucket"):
        open_objects(url, field="store", environ={})


@pytest.mark.parametrize("endpoint", ["localhost:9000", "ftp://x", "http://"])
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(InputError, match="COALMINE_S3_ENDPOINT"):
        open_objects("s3://bucket", field="store", environ={"COALMINE_S3_ENDPOINT": endpoint})


def test_a_server_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    environ = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "key"}
    with pytest.raises(CoalmineError, match=r"127\.0\.0\.1:9 does not do its work") as caught:
        open_objects("s3://bucket", field="store", environ=environ).find("x")
    assert caught.value.exit_code == 1
    assert "Debug" not in caught.value.message
