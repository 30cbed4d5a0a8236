"""Where things stand in a state folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from coalmine._base.errors import CoalmineError
from coalmine._base.files import write_atomic

__all__ = ["Endpoints", "Layout"]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the parts of a running stack listen; base URLs without a final slash."""

    launcher: str
    proxy: str
    proxy_admin: str
    prometheus: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths below one state folder.

    Attributes:
        state: The folder itself, absolute.
    """

    state: Path

    @property
    def endpoints_file(self) -> Path:
        """Where the running stack says where it listens."""
        return self.state / "endpoints.json"

    @property
    def contexts(self) -> Path:
        """Build contexts, content-addressed."""
        return self.state / "contexts"

    @property
    def known_bentos(self) -> Path:
        """What every version in a remote store held when it was first seen."""
        return self.state / "known-bentos.json"

    @property
    def images(self) -> Path:
        """OCI layouts, one a bento."""
        return self.state / "images"

    @property
    def revisions(self) -> Path:
        """Unpacked images that run, one a revision, each with its private home."""
        return self.state / "revisions"

    @property
    def services(self) -> Path:
        """Serving records, one a service."""
        return self.state / "services"

    @property
    def releases(self) -> Path:
        """What is known of each release beside its state: evidence, report, task logs."""
        return self.state / "releases"

    @property
    def logs(self) -> Path:
        """Logs of the supervised processes."""
        return self.state / "logs"

    @property
    def supervisor(self) -> Path:
        """Configuration and socket of the process supervisor."""
        return self.state / "supervisor"

    @property
    def proxy(self) -> Path:
        """Configuration of Envoy."""
        return self.state / "proxy"

    @property
    def prometheus(self) -> Path:
        """Configuration and data of Prometheus."""
        return self.state / "prometheus"

    @property
    def bento_home(self) -> Path:
        """The private BENTOML_HOME of the store on this machine."""
        return self.state / "bentoml"

    def write_endpoints(self, endpoints: Endpoints) -> None:
        """Tell where the stack listens."""
        write_atomic(self.endpoints_file, json.dumps(asdict(endpoints), indent=2) + "\n")

    def read_endpoints(self) -> Endpoints:
        """Find where the stack listens.

        Raises:
            CoalmineError: No stack was started with this state folder.
        """
        try:
            return Endpoints(**json.loads(self.endpoints_file.read_text()))
        except (OSError, TypeError, ValueError) as error:
            expected = isinstance(error, FileNotFoundError)
            reason = "" if expected else f": {self.endpoints_file.name} cannot be read, {error}"
            raise CoalmineError(
                f"no stack is running with its state in {self.state}{reason}",
                fix=f"start one with: coalmine up --state {self.state}",
            ) from None
