"""What a service is made from on its first release: a Deployment without an image, and a Canary."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from coalmine._base.errors import InputError
from coalmine.serving.flagger.seen import slot_of
from coalmine.serving.kube.client import Object
from coalmine.serving.kube.template import read_template

__all__ = ["Template", "load_template", "template_of"]


@dataclass(frozen=True, slots=True)
class Template:
    """A checked template.

    Attributes:
        deployment: The Deployment.
        canary: The Canary, with its service, provider and gateways; None for one of our making.
    """

    deployment: Object
    canary: Object | None = None

    def filled(self, service: str, image: str, container: str) -> Object:
        """Make the Deployment: named, with an image in one container."""
        made = copy.deepcopy(self.deployment)
        metadata = made.setdefault("metadata", {})
        metadata.pop("namespace", None)
        metadata["name"] = service
        if slot := slot_of(made, container):
            made["spec"]["template"]["spec"][slot[0]][slot[1]]["image"] = image
        return made


def load_template(path: str) -> Template | None:
    """Read a template file; an empty path is None.

    Raises:
        InputError: It cannot be read, or does not hold what it should.
    """
    return template_of(read_template(path)) if path else None


def template_of(items: list[Object]) -> Template:
    """Check the objects of a template.

    Raises:
        InputError: There is not one Deployment, there are two Canaries, or something else is there.
    """
    kinds = [item.get("kind") if isinstance(item, dict) else None for item in items]
    others = sorted({str(kind) for kind in kinds} - {"Deployment", "Canary"})
    if others or kinds.count("Deployment") != 1 or kinds.count("Canary") > 1:
        raise InputError(
            f"holds {', '.join(map(str, kinds)) or 'nothing'}",
            field="template",
            fix="give one Deployment, and a Canary of flagger.app/v1beta1 where you want your own",
        )
    deployment = items[kinds.index("Deployment")]
    if slot_of(deployment) is None:
        raise InputError(
            "the Deployment has no container, so it takes no image",
            field="template",
            fix="give it one container; its image is set by the release",
        )
    return Template(deployment, items[kinds.index("Canary")] if "Canary" in kinds else None)
