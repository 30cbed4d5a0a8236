"""What a service is made from on its first release: an InferenceService without an image.

It is held against the schema of KServe's own CRD (as of 0.20.0, without descriptions), strictly: an
unknown field is an error here, while the API server would drop it without a word.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

from coalmine._base.errors import InputError
from coalmine.serving.kserve.schema import faults
from coalmine.serving.kube.client import Object, Resource
from coalmine.serving.kube.predictor import serving_container
from coalmine.serving.kube.template import read_template

__all__ = ["Template", "load_template"]

IMAGE = "registry.invalid/image@sha256:" + "0" * 64


@dataclass(frozen=True, slots=True)
class Template:
    """A checked template.

    Attributes:
        body: The InferenceService as it was written.
    """

    body: Object

    def filled(self, resource: Resource, service: str, image: str) -> Object:
        """Make the object to create: named, with an image and without a percent."""
        made = copy.deepcopy(self.body)
        made |= {"apiVersion": resource.api, "kind": resource.kind}
        made["metadata"] = {**(made.get("metadata") or {}), "name": service}
        made["metadata"].pop("namespace", None)
        predictor = made["spec"]["predictor"]
        predictor.pop("canaryTrafficPercent", None)
        predictor["containers"][serving_container(predictor)]["image"] = image
        return made


def load_template(path: str) -> Template | None:
    """Read and check a template; an empty path is None.

    Raises:
        InputError: It cannot be read, or is no InferenceService with a container.
    """
    if not path:
        return None
    items = read_template(path)
    if len(items) != 1:
        raise InputError(
            f"{path} holds {len(items)} objects", field="template", fix="give one InferenceService"
        )
    return Template(_checked(items[0], path))


def _checked(body: Object, path: str) -> Object:
    if body.get("kind") != "InferenceService":
        raise InputError(f"{path} is no InferenceService", field="template")
    predictor = (body.get("spec") or {}).get("predictor") or {}
    if serving_container(predictor) < 0:
        raise InputError(
            f"{path} has no container that serves in spec.predictor.containers",
            field="template",
            fix="give one, named kserve-container; its image is set by the release",
        )
    named = Resource(str(body.get("apiVersion")), "", "InferenceService")
    if found := faults(Template(body).filled(named, "x", IMAGE)):
        raise InputError(f"{path}: {'; '.join(found[:5])}", field="template", fix="mend the fields")
    return body
