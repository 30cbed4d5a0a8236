"""``coalmine push`` and ``coalmine bentos``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from coalmine._base.errors import InputError
from coalmine.cli import cli


def call(*args: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args])


@pytest.mark.integration
def test_a_bento_is_pushed_once_and_listed(home: Path, tmp_path: Path, s3: str) -> None:
    command = ("push", "iris", s3, "--source", home, "--state", tmp_path / "state")
    first = json.loads(call(*command, "-o", "json").stdout)
    assert (first["version"], first["reference"]) == ("v10", f"{s3}/iris/v10.bento")
    assert first["sent_bytes"] > 0
    assert call(*command).stdout == f"{s3}/iris/v10.bento  was there already  {first['digest']}\n"
    sent = call("push", "iris:v2", s3, "--source", home, "--state", tmp_path / "state")
    assert re.search(r"sent [1-9][0-9.]* kB  sha256:", sent.stdout)
    assert set(json.loads(call("bentos", s3, "-o", "json").stdout)["iris"]) == {"v2", "v10"}


def test_bentos_lists_the_newest_last(home: Path) -> None:
    assert call("bentos", home).stdout == "iris  v2 v10\n"


def test_an_empty_store_says_so(tmp_path: Path) -> None:
    assert call("bentos", "--state", tmp_path).stdout == "no bentos\n"
    assert call("bentos", "--state", tmp_path, "-o", "json").stdout == "{}\n"


@pytest.mark.parametrize(
    ("tag", "store", "said"),
    [
        ("Iris:v1", "s3://bucket/x", "is no name of a bento"),
        ("iris:v1:2", "s3://bucket/x", "is no version of a bento"),
        ("iris:v1", "local", "no store that bentos can be put into"),
        ("iris:v1", "s3://", "is no place in a bucket"),
        ("iris:v1", "s3://bucket/x/../y", "is no place in a bucket"),
        ("iris:v1", "s3://bucket/x", "there is no bento 'iris'"),
    ],
)
def test_what_cannot_be_pushed_is_told(tmp_path: Path, tag: str, store: str, said: str) -> None:
    result = call("push", tag, store, "--state", tmp_path)
    assert isinstance(result.exception, InputError)
    assert said in result.exception.message
