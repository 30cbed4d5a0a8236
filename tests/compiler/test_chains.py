from __future__ import annotations

from pathlib import Path

import yaml

COMPILED = Path(__file__).parent.parent.parent / "compiled" / "tekton" / "release.yaml"


def test_an_image_is_named_as_tekton_chains_looks_for_it() -> None:
    pipeline = next(d for d in yaml.safe_load_all(COMPILED.read_text()) if d["kind"] == "Pipeline")
    build = next(task for task in pipeline["spec"]["tasks"] if task["name"] == "build")
    names = {result["name"] for result in build["taskSpec"]["results"]}
    assert {"image", "IMAGE_URL", "IMAGE_DIGEST"} == names
    args = build["taskSpec"]["steps"][0]["args"]
    assert args[args.index("--image-url-path") + 1] == "$(results.IMAGE_URL.path)"
