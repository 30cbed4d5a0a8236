"""What a service is made from on its first release: a workload without an image, and a route."""

from __future__ import annotations

from dataclasses import dataclass

from coalmine._base.errors import InputError
from coalmine.serving.gateway.seen import HTTP_ROUTE
from coalmine.serving.gateway.workloads import container, port_of, workload_of
from coalmine.serving.kube.client import Object
from coalmine.serving.kube.template import read_template

__all__ = ["Template", "load_template", "template_of"]


@dataclass(frozen=True, slots=True)
class Template:
    """A checked template.

    Attributes:
        workload: A Deployment or an InferenceService.
        route: An HTTPRoute; None where the service has one already.
    """

    workload: Object
    route: Object | None = None

    def filled_route(self, name: str, backend: str, labels: dict[str, str]) -> Object:
        """Make the route, with one backend for every rule.

        Raises:
            InputError: The template has none.
        """
        if self.route is None:
            raise InputError(
                f"there is no HTTPRoute {name}, and the template has none",
                field="template",
                fix="add an HTTPRoute with spec.parentRefs to the template, or apply one",
            )
        ref = {"name": backend, "port": port_of(self.workload), "weight": 100}
        rules = self.route["spec"].get("rules") or [{}]
        spec = {**self.route["spec"], "rules": [{**rule, "backendRefs": [ref]} for rule in rules]}
        metadata = {**(self.route.get("metadata") or {}), "name": name}
        metadata.pop("namespace", None)
        metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
        return {
            "apiVersion": HTTP_ROUTE.api,
            "kind": HTTP_ROUTE.kind,
            "metadata": metadata,
            "spec": spec,
        }


def load_template(path: str) -> Template | None:
    """Read a template file; an empty path is None.

    Raises:
        InputError: It cannot be read, or does not hold what it should.
    """
    return template_of(read_template(path)) if path else None


def template_of(items: list[Object]) -> Template:
    """Check the objects of a template.

    Raises:
        InputError: There is not one workload, or there are two routes.
    """
    if not all(isinstance(item, dict) for item in items):
        raise InputError("holds something that is no object", field="template")
    routes = [item for item in items if item.get("kind") == HTTP_ROUTE.kind]
    others = [item for item in items if item.get("kind") != HTTP_ROUTE.kind]
    if len(others) != 1 or len(routes) > 1:
        raise InputError(
            f"holds {len(others)} workloads and {len(routes)} HTTPRoutes",
            field="template",
            fix="give one Deployment or InferenceService, and an HTTPRoute where there is none yet",
        )
    workload_of(str(others[0].get("kind")))
    container(others[0])
    if routes and not (routes[0].get("spec") or {}).get("parentRefs"):
        raise InputError("the HTTPRoute names no Gateway", field="template", fix="add parentRefs")
    return Template(others[0], routes[0] if routes else None)
