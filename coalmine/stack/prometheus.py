"""Prometheus: how it is started and what it watches."""

from __future__ import annotations

import hashlib
from pathlib import Path

import yaml

from coalmine.stack.ports import HOST
from coalmine.stack.programs import Program

__all__ = ["prometheus_config", "prometheus_program"]

SCRAPE_INTERVAL = "1s"
RETENTION = "15d"


def prometheus_config(*, port: int, proxy_admin_port: int, launcher_port: int) -> str:
    """Write its configuration, with every target named up front.

    Service discovery would find a new target only about 5 s later; the model servers' traffic is
    seen at the proxy, so no target ever comes or goes.

    Args:
        port: Its own.
        proxy_admin_port: Envoy's, for its metrics.
        launcher_port: The launcher's.
    """
    jobs = [
        _job("envoy", proxy_admin_port, "/stats/prometheus"),
        _job("launcher", launcher_port, "/metrics"),
        _job("prometheus", port, "/metrics"),
    ]
    timing = {"scrape_interval": SCRAPE_INTERVAL, "scrape_timeout": SCRAPE_INTERVAL}
    config = {"global": {**timing, "evaluation_interval": SCRAPE_INTERVAL}, "scrape_configs": jobs}
    text: str = yaml.safe_dump(config, sort_keys=False)
    return text


def prometheus_program(binary: Path, folder: Path, port: int, config: str) -> Program:
    """Describe the process.

    Args:
        binary: Prometheus.
        folder: Where ``prometheus.yml`` stands, with the content ``config``, and its data goes.
        port: Where it is asked, on loopback.
        config: Its configuration; a change of it means another process.
    """
    argv = (
        str(binary),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.time={RETENTION}",
        f"--web.listen-address={HOST}:{port}",
        "--log.level=warn",
    )
    mark = {"COALMINE_CONFIG": hashlib.sha256(config.encode()).hexdigest()}
    return Program("prometheus", argv, environment=mark, priority=100)


def _job(name: str, port: int, path: str) -> dict[str, object]:
    targets = [{"targets": [f"{HOST}:{port}"]}]
    return {"job_name": name, "metrics_path": path, "static_configs": targets}
