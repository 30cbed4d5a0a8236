"""The demo's two ways to tell: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from coalmine.demo.story import Scene
from coalmine.demo.summary import Summary
from coalmine.gate.reasons import value_text

__all__ = ["LiveNarrator", "PlainNarrator", "gate_text", "summary_tables"]

GATE_LINE_SECONDS = 5.0
MARKS = {
    "pending": ("·", "dim"),
    "running": ("▶", "yellow"),
    "succeeded": ("✔", "green"),
    "failed": ("✘", "red"),
    "skipped": ("–", "dim"),
    "cancelled": ("■", "red"),
}
COLOURS = {"promoted": "green", "rolled_back": "red", "failed": "red", "cancelled": "red"}


class PlainNarrator:
    """One line for each thing that happens.

    Args:
        quiet: Say nothing at all, where the result is printed as JSON.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(quiet=quiet, highlight=False, soft_wrap=True)
        self._began = time.monotonic()
        self._told: dict[str, str] = {}
        self._gate_told = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._console.file.flush()

    def say(self, line: str) -> None:
        """Print a line with the seconds since the beginning."""
        self._console.print(f"[{time.monotonic() - self._began:6.1f} s] {line}", markup=False)

    def show(self, scene: Scene) -> None:
        """Print what changed since the last look."""
        for step in scene.release["steps"]:
            self._tell_step(scene, step)
        if _running(scene, "gate") and time.monotonic() - self._gate_told > GATE_LINE_SECONDS:
            self._gate_told = time.monotonic()
            self.say(f"  {scene.chapter.version} gate: {gate_text(scene.gate)}")
        self._tell_end(scene)

    def sum_up(self, summary: Summary) -> None:
        """Print the summary."""
        for table in summary_tables(summary):
            self._console.print(table, soft_wrap=isinstance(table, Text))

    def _tell_step(self, scene: Scene, step: Mapping[str, Any]) -> None:
        key = f"{scene.number}/{step['name']}"
        if self._told.get(key, "pending") == step["state"]:
            return
        self._told[key] = step["state"]
        message = f": {step['message']}" if step["message"] else ""
        self.say(f"  {scene.chapter.version} {step['name']}: {step['state']}{message}")

    def _tell_end(self, scene: Scene) -> None:
        key, state = f"{scene.number}", scene.release["state"]
        if state in COLOURS and self._told.get(key) != state:
            self._told[key] = state
            self.say(f"release {scene.number} {state}: {scene.release['reason']}")


class LiveNarrator:
    """A display that is drawn anew as the releases go on."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, refresh_per_second=5, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        """Print a line above the display."""
        self._console.print(f"[bold]›[/] {line}")

    def show(self, scene: Scene) -> None:
        """Draw the release anew."""
        self._live.update(_scene_view(scene))
        if scene.release["state"] in COLOURS:
            self._console.print(_scene_view(scene))
            self._live.update(Text())

    def sum_up(self, summary: Summary) -> None:
        """Print the summary."""
        self._live.stop()
        for table in summary_tables(summary):
            self._console.print(table, soft_wrap=isinstance(table, Text))


def gate_text(gate: Mapping[str, Any]) -> str:
    """Say in one line what the gate sees."""
    if not gate:
        return "waiting for the first samples"
    needed = gate["policy"]["min_requests"]
    parts = [f"{gate['requests']:.0f} requests (at least {needed})"]
    parts += [_check_text(check) for check in gate["checks"]]
    return ", ".join(parts)


def summary_tables(summary: Summary) -> tuple[RenderableType, ...]:
    """Lay out what came of the releases, what the users saw, and what is wrong."""
    reports = Text(
        "\n".join(
            f"{row.chapter.version} is release {row.release_id}, report: {row.report}"
            for row in summary.rows
        )
    )
    verdict = (
        Text("\n".join(f"NOT as promised: {problem}" for problem in summary.problems), "bold red")
        if summary.problems
        else Text(
            "As promised: promoted, promoted, rolled back early; no request failed but those the "
            "bad model answered with 500.",
            "bold green",
        )
    )
    return _releases_table(summary), _requests_table(summary), reports, verdict


def _releases_table(summary: Summary) -> Table:
    table = Table("", "version", "state", "verdict", "why", title="Releases", show_lines=True)
    table.add_column("seconds per step")
    for number, row in enumerate(summary.rows, 1):
        state = Text(row.state, COLOURS.get(row.state, ""))
        steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in row.steps)
        table.add_row(str(number), row.chapter.version, state, row.verdict, row.reason, steps)
    return table


def _requests_table(summary: Summary) -> Table:
    table = Table("answered by", title="Requests")
    for heading in ("sent", "failed", "failed %"):
        table.add_column(heading, justify="right")
    tally = summary.tally
    for row in summary.rows:
        _add_requests(
            table, row.chapter.version, tally.sent(row.revision), tally.failed(row.revision)
        )
    nobody = tally.sent("")
    _add_requests(table, "nobody", nobody, nobody)
    table.add_section()
    _add_requests(table, "all", tally.sent(), tally.failed())
    table.add_row("failed, and not by the bad model", "", str(summary.unexcused), "")
    return table


def _add_requests(table: Table, who: str, sent: int, failed: int) -> None:
    table.add_row(who, str(sent), str(failed), f"{100 * failed / sent:.1f}" if sent else "–")


def _scene_view(scene: Scene) -> RenderableType:
    steps = Text("  ")
    for step in scene.release["steps"]:
        mark, style = MARKS.get(step["state"], ("?", ""))
        steps.append(f"{mark} {step['name']}   ", style)
    state = scene.release["state"]
    title = Text.assemble(
        ("  release ", "dim"),
        (f"{scene.number} {scene.chapter.version} ", "bold"),
        (state, COLOURS.get(state, "yellow")),
        (f"  {scene.release['reason'] or ''}", "dim"),
    )
    lines: list[RenderableType] = [title, steps]
    if scene.gate:
        lines.append(Text(f"  gate: {gate_text(scene.gate)}", "cyan"))
    failed = scene.tally.failed()
    lines.append(Text(f"  users: {scene.tally.sent()} requests, {failed} failed", "dim"))
    return Group(*lines)


def _check_text(check: Mapping[str, Any]) -> str:
    result = check["result"] or {}
    return f"{check['name']} {value_text(result.get('last'), check['unit'])} ({check['good']})"


def _running(scene: Scene, name: str) -> bool:
    return any(s["name"] == name and s["state"] == "running" for s in scene.release["steps"])
