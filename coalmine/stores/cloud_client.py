"""Speak to BentoCloud: ``python -m coalmine.stores.cloud_client latest|pull BENTO``.

The last line on stdout is JSON: ``version``, or ``error`` and ``status`` as HTTP has it.
"""

from __future__ import annotations

import json
import sys

_NOT_FOUND = 404


def _latest(name: str) -> str:
    import bentoml  # noqa: PLC0415 - BENTOML_HOME is read when it is imported

    client = bentoml.cloud.BentoCloudClient()  # type: ignore[call-arg]  # it injects them itself
    return str(client.bento.get(name, None).version)


def _pull(tag: str) -> str:
    import bentoml  # noqa: PLC0415

    bentoml.bentos.pull(tag)
    bento = bentoml.bentos.get(tag)
    for model in bento.info.all_models:
        if model.registry == "bentoml":
            model.to_model().resolve()
    return str(bento.tag.version)


def _main(action: str, what: str) -> dict[str, object]:
    from bentoml.exceptions import BentoMLException  # noqa: PLC0415

    try:
        return {"version": {"latest": _latest, "pull": _pull}[action](what)}
    except IndexError:
        return {"error": "there is no such bento", "status": _NOT_FOUND}
    except BentoMLException as error:
        missing = "not found" in str(error) or "List bento" in str(error)
        status = _NOT_FOUND if missing else int(error.error_code)
        return {"error": str(error), "status": status}


if __name__ == "__main__":
    print("\n" + json.dumps(_main(*sys.argv[1:])))  # noqa: T201
