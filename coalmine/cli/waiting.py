"""What ``coalmine status`` says of releases and of sinks: from a ledger, or from a launcher."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coalmine._base.errors import CoalmineError

if TYPE_CHECKING:
    from prometheus_client import Metric

__all__ = ["lines_of_ledger", "of_launcher", "of_ledger"]

SINK_COLUMNS = ("SINK", "WAIT", "OLDEST", "PUT ASIDE")
METRICS = {
    "coalmine_outbox_depth": "waiting",
    "coalmine_outbox_age_seconds": "oldest_seconds",
    "coalmine_outbox_dead": "put_aside",
}
Found = dict[str, Any]


def of_ledger(state: Path, database: str) -> Found:
    """Read from the ledger in a state folder, or from a database, what is and what waits.

    Raises:
        InputError: There is no ledger.
        CoalmineError: It cannot be read.
    """
    from coalmine.launcher.outbox import select_waiting  # noqa: PLC0415 - `--help` stays quick
    from coalmine.launcher.place import opened  # noqa: PLC0415
    from coalmine.launcher.read import count_by_state  # noqa: PLC0415

    with opened(state, database) as connection:
        releases, waiting = count_by_state(connection), select_waiting(connection)
    now = datetime.now(UTC)
    sinks = [
        {
            "sink": one.sink,
            "waiting": one.count,
            "oldest_seconds": round(one.age(now), 3),
            "put_aside": one.dead,
        }
        for one in waiting
    ]
    return {"releases": releases, "sinks": sinks}


def of_launcher(url: str) -> Found:
    """Read the same from a launcher's metrics, which are open to everybody.

    Raises:
        InputError: It is no URL.
        CoalmineError: It does not answer as a launcher does.
    """
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - as above

    from coalmine.client.launcher import get_metrics  # noqa: PLC0415

    text = get_metrics(url)
    try:
        return _read_metrics(text_string_to_metric_families(text))
    except (ValueError, KeyError):
        raise CoalmineError(
            f"{url} does not tell of releases", fix="check that the URL is a launcher's"
        ) from None


def _read_metrics(families: Iterable[Metric]) -> Found:
    releases: dict[str, int] = {}
    sinks: dict[str, Found] = {}
    for family in families:
        for sample in family.samples:
            if family.name == "coalmine_releases":
                releases[sample.labels["state"]] = int(sample.value)
            elif family.name in METRICS:
                name = sample.labels["sink"]
                one = sinks.setdefault(name, {"sink": name})
                one[METRICS[family.name]] = sample.value
    if not releases:
        raise ValueError("there is no coalmine_releases")
    whole = [
        {**one, "waiting": int(one["waiting"]), "put_aside": int(one["put_aside"])}
        for one in sinks.values()
    ]
    return {"releases": releases, "sinks": whole}


def lines_of_ledger(found: Found) -> list[str]:
    """Say it to people."""
    from coalmine.cli.runs import aligned  # noqa: PLC0415 - as above

    counts = [f"{count} {state}" for state, count in found["releases"].items() if count]
    lines = ["releases     " + (", ".join(counts) or "none")]
    rows = [
        (
            one["sink"],
            str(one["waiting"]),
            f"{one['oldest_seconds']:.0f} s" if one["waiting"] else "",
            str(one["put_aside"] or ""),
        )
        for one in found["sinks"]
    ]
    return [*lines, "", *aligned([SINK_COLUMNS, *rows])] if rows else lines
