"""Called as: build.py SOURCE, with BENTOML_HOME set; makes one version of the bento a model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bentoml

MODELS: dict[str, list[str]] = {"good": [], "better": [], "bad": ["b", "d"]}


def main(source: Path) -> None:
    sys.path.insert(0, str(source))
    for version, failing in MODELS.items():
        with bentoml.models.create(f"probe_model:{version}") as stored:
            Path(stored.path_of("model.json")).write_text(json.dumps({"failing": failing}))
        # BentoML writes the version it found for "latest" into the module's own tag, for good.
        sys.modules.pop("service", None)
        bentoml.build(
            "service:Probe",
            name="probe",
            version=version,
            build_ctx=str(source),
            include=["service.py"],
            python={"lock_packages": False},
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
