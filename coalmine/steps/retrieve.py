"""Retrieve: a bento's name and version become a build context."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from coalmine.images.importing import check_import, find_python, import_seconds
from coalmine.stack.layout import Layout
from coalmine.steps.contract import Step, Surroundings, given, optional
from coalmine.stores.context import keep_bento
from coalmine.stores.known import check_known
from coalmine.stores.reference import publish_context
from coalmine.stores.select import select_store

__all__ = ["STEP", "RetrieveInputs", "RetrieveOutputs"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetrieveInputs:
    """Which bento, and where from."""

    name: str = given("The bento's name.")
    version: str = optional("Its version; empty or 'latest' means the newest.")
    store: str = optional(
        "Where bentos come from: 'local', the path or file:// URL of a BENTOML_HOME, "
        "s3://bucket/prefix, oci://host/path or bentocloud; empty means the store in the state "
        "folder.",
        setting=True,
    )
    contexts: str = optional(
        "Where the build context goes: s3://bucket/prefix or oci://host/path; empty means that it "
        "stays in the state folder, where only steps on this machine find it.",
        setting=True,
    )
    check_import: str = optional(
        "How many seconds importing the bento's service may take, which is tried before the bento "
        "is taken; empty means that it is not imported.",
        setting="COALMINE_RETRIEVE_CHECK_IMPORT",
    )
    import_python: str = optional(
        "The Python that it is imported with, which has its packages; empty means the one that "
        "runs coalmine.",
        setting=True,
    )


@dataclass(frozen=True, slots=True)
class RetrieveOutputs:
    """The version that was meant, and a reference to its build context."""

    version: str
    context: str


def retrieve(inputs: RetrieveInputs, surroundings: Surroundings) -> RetrieveOutputs:
    """Fetch the bento; a context with the same content is found and used again."""
    layout, check = Layout(surroundings.state.absolute()), _check(inputs)
    store = select_store(inputs.store, own=layout.bento_home)
    version = store.resolve(inputs.name, inputs.version)
    began = time.monotonic()
    context, here = keep_bento(layout.contexts, store, inputs.name, version, check=check)
    if store.url:
        check_known(layout.known_bentos, f"{store.url}/{inputs.name}:{version}", context.name)
    reference, sent = publish_context(context, inputs.contexts)
    logger.info(
        "bento was retrieved before" if here else "bento retrieved",
        extra={
            "bento": f"{inputs.name}:{version}",
            "context": reference,
            "sent_bytes": sent,
            "seconds": round(time.monotonic() - began, 3),
        },
    )
    return RetrieveOutputs(version=version, context=reference)


def _check(inputs: RetrieveInputs) -> Callable[[Path], None] | None:
    """Make what a bento must pass before it is taken; None where it is only read."""
    seconds = import_seconds(inputs.check_import)
    if not seconds:
        return None
    return partial(check_import, seconds=seconds, python=find_python(inputs.import_python))


STEP = Step(
    name="retrieve",
    summary="Fetch a bento from its store as a build context, named by its content.",
    inputs=RetrieveInputs,
    outputs=RetrieveOutputs,
    run=retrieve,
)
