"""Pipelines for launchers in tests."""

from __future__ import annotations

from typing import Any

from coalmine.engines.local.command import OWN_IMAGE


def waiting_pipeline() -> dict[str, Any]:
    """KFP IR of one task that lasts: it watches the release that it is a part of."""
    text = {"parameterType": "STRING"}
    names = ("release_id", "service", "name", "version", "percent")
    watch = ["coalmine", "watch", "{{$.inputs.parameters['release_id']}}"]
    return {
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
        "pipelineInfo": {"name": "release"},
        "components": {
            "comp-wait": {
                "executorLabel": "exec-wait",
                "inputDefinitions": {"parameters": {"release_id": text}},
            }
        },
        "deploymentSpec": {
            "executors": {"exec-wait": {"container": {"image": OWN_IMAGE, "command": watch}}}
        },
        "root": {
            "inputDefinitions": {"parameters": dict.fromkeys(names, text)},
            "dag": {
                "tasks": {
                    "wait": {
                        "taskInfo": {"name": "wait"},
                        "componentRef": {"name": "comp-wait"},
                        "inputs": {
                            "parameters": {"release_id": {"componentInputParameter": "release_id"}}
                        },
                    }
                }
            },
        },
    }
