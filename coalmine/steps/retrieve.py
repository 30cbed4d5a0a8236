"""Retrieve: a bento's name and version become a build context on this machine."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from coalmine.stack.layout import Layout
from coalmine.steps.contract import Step, Surroundings, given, optional
from coalmine.stores.context import keep_bento
from coalmine.stores.known import check_known
from coalmine.stores.select import select_store

__all__ = ["STEP", "RetrieveInputs", "RetrieveOutputs"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetrieveInputs:
    """Which bento, and where from."""

    name: str = given("The bento's name.")
    version: str = optional("Its version; empty or 'latest' means the newest.")
    store: str = optional(
        "Where bentos come from: 'local', the path or file:// URL of a BENTOML_HOME, or "
        "s3://bucket/prefix; empty means the store in the state folder.",
        setting=True,
    )


@dataclass(frozen=True, slots=True)
class RetrieveOutputs:
    """The version that was meant, and a file:// URL of its build context."""

    version: str
    context: str


def retrieve(inputs: RetrieveInputs, surroundings: Surroundings) -> RetrieveOutputs:
    """Fetch the bento; a context with the same content is found and used again."""
    layout = Layout(surroundings.state.absolute())
    store = select_store(inputs.store, own=layout.bento_home)
    version = store.resolve(inputs.name, inputs.version)
    began = time.monotonic()
    context, here = keep_bento(layout.contexts, store, inputs.name, version)
    if store.url:
        check_known(layout.known_bentos, f"{store.url}/{inputs.name}:{version}", context.name)
    logger.info(
        "bento was retrieved before" if here else "bento retrieved",
        extra={
            "bento": f"{inputs.name}:{version}",
            "context": str(context),
            "seconds": round(time.monotonic() - began, 3),
        },
    )
    return RetrieveOutputs(version=version, context=context.as_uri())


STEP = Step(
    name="retrieve",
    summary="Fetch a bento from its store as a build context, named by its content.",
    inputs=RetrieveInputs,
    outputs=RetrieveOutputs,
    run=retrieve,
)
