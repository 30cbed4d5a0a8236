from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from filelock import FileLock

from coalmine._base.errors import CoalmineError
from coalmine.cli import cli
from coalmine.cli.needed import cutoff
from coalmine.stack.layout import Layout
from coalmine.stores.clean import clean_contexts
from coalmine.stores.context import keep_bento, lanes
from coalmine.stores.local import LocalStore

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def contexts(home: Path, tmp_path: Path) -> Path:
    """Two contexts, that of v2 last asked for in 1970."""
    contexts = Layout(tmp_path / "state").contexts
    keep_bento(contexts, LocalStore(home), "iris", "v10")
    os.utime(keep_bento(contexts, LocalStore(home), "iris", "v2")[0], (1, 1))
    return contexts


def _kept(contexts: Path) -> int:
    return len(list(contexts.glob("[!.]*")))


def test_what_nobody_asked_for_goes_and_is_fetched_again(contexts: Path, home: Path) -> None:
    (gone,) = clean_contexts(contexts, before=1000)
    assert gone.size > 0
    assert _kept(contexts) == 1
    assert keep_bento(contexts, LocalStore(home), "iris", "v10")[1] is True
    assert keep_bento(contexts, LocalStore(home), "iris", "v2") == (gone.context, False)


def test_what_was_asked_for_again_stays(contexts: Path, home: Path) -> None:
    keep_bento(contexts, LocalStore(home), "iris", "v2")
    assert clean_contexts(contexts, before=1000) == []


def test_a_dry_run_removes_nothing(contexts: Path) -> None:
    assert len(clean_contexts(contexts, before=1000, dry_run=True)) == 1
    assert _kept(contexts) == 2


def test_nothing_is_removed_beside_a_retrieve(contexts: Path) -> None:
    with FileLock(lanes(contexts)[17]), pytest.raises(CoalmineError, match="under way"):
        clean_contexts(contexts, before=1000)
    assert _kept(contexts) == 2


def test_what_is_not_a_context_stays(contexts: Path) -> None:
    (contexts / "notes").mkdir()
    os.utime(contexts / "notes", (1, 1))
    clean_contexts(contexts, before=1000)
    assert (contexts / "notes").is_dir()


def test_a_release_in_progress_keeps_what_came_after_it() -> None:
    week = NOW - timedelta(days=7)
    assert cutoff(NOW, 7, []) == week
    assert cutoff(NOW, 7, [NOW - timedelta(days=1)]) == week
    assert cutoff(NOW, 7, [NOW - timedelta(days=9), NOW]) == NOW - timedelta(days=9)


def test_the_command_says_what_it_removed(contexts: Path, tmp_path: Path) -> None:
    command = ["gc", "--state", str(tmp_path / "state")]
    assert (
        "1 contexts, 0 images and 0 blobs would be removed"
        in CliRunner().invoke(cli, [*command, "--dry-run"]).stdout
    )
    told = json.loads(CliRunner().invoke(cli, [*command, "-o", "json"]).stdout)
    assert (len(told["removed"]), told["dry_run"]) == (1, False)
    assert "0 contexts, 0 images and 0 blobs removed" in CliRunner().invoke(cli, command).stdout
    assert CliRunner().invoke(cli, ["gc", "--state", str(tmp_path / "none")]).exit_code == 0


@pytest.mark.parametrize("days", ["0", "-1", "x"])
def test_a_number_of_days_that_is_none_is_refused(days: str) -> None:
    assert CliRunner().invoke(cli, ["gc", "--days", days]).exit_code == 2
