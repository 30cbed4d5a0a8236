"""A release in the cells of a real notebook kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from tests.launcher.conftest import Launched

PATIENCE = 250.0
"""A kernel begins in two seconds, and on a machine with much else to do in a minute."""
CODE = "import pathlib, sys; pathlib.Path(sys.argv[-1]).write_text({!r})"
PIPELINE = {
    "tasks": [{"name": "gate", "code": CODE.format("promote"), "output": "verdict"}],
    "exit": {"name": "finalize", "code": CODE.format("promoted"), "output": "outcome"},
}


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launched]:
    made = Launched(tmp_path, PIPELINE)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def kernel() -> Iterator[BlockingKernelClient]:
    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=PATIENCE)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run_cell(kernel: BlockingKernelClient, code: str) -> list[tuple[str, dict[str, Any]]]:
    """Run a cell; gives the kinds and contents of what it showed."""
    told: list[tuple[str, dict[str, Any]]] = []
    kernel.execute_interactive(
        code,
        timeout=PATIENCE,
        output_hook=lambda said: told.append((said["msg_type"], said["content"])),
    )
    return told


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_a_release_is_watched_live_in_a_notebook(
    launcher: Launched, kernel: BlockingKernelClient
) -> None:
    asked = f"import coalmine\nhandle = coalmine.release('iris', launcher={launcher.url!r})\nhandle"
    (result,) = [content for kind, content in run_cell(kernel, asked) if kind == "execute_result"]
    assert "<table>" in result["data"]["text/html"]
    told = run_cell(kernel, "last = handle.watch(timeout=60)\nlast['state']")
    shown = [content for kind, content in told if kind in {"display_data", "update_display_data"}]
    assert len({one["transient"]["display_id"] for one in shown}) == 1, "in one place"
    assert len(shown) >= 2
    assert "<td>gate</td><td>succeeded</td>" in shown[-1]["data"]["text/html"]
    (result,) = [content for kind, content in told if kind == "execute_result"]
    assert result["data"]["text/plain"] == "'promoted'"
    streams = [content["text"] for kind, content in told if kind in {"stream", "error"}]
    assert streams == [], "no warning that something is to be installed"
