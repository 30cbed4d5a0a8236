"""The rules of an HTTPRoute, and how a release changes them. Pure.

Sources: gateway-api.sigs.k8s.io, "HTTPRoute" and "HTTP traffic splitting": weights of a rule's
``backendRefs`` are relative to their sum; of two rules for the same path the one that matches a
method wins, then the one with more header matches; ``RequestMirror`` sends a copy whose answer is
dropped, of ``percent`` of the requests since version 1.3.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["PREVIEW_HEADER", "Split", "backends", "normal", "promoted", "split"]

PREVIEW_HEADER = "x-coalmine-preview"
Rules = list[dict[str, Any]]
Ref = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Split:
    """What a canary shall get.

    Attributes:
        stable: Name of the stable version's Service.
        canary: Name of the canary's Service.
        port: The canary's port.
        percent: The canary's share of the requests, 0 to 99.
        preview: Requests whose preview header has this value go to the canary; empty for none.
        mirror: Percent of the other requests of which the canary gets a copy.
        methods: Of which requests; empty means of all.
    """

    stable: str
    canary: str
    port: int
    percent: int
    preview: str = ""
    mirror: int = 0
    methods: tuple[str, ...] = ()


def split(before: Rules, wanted: Split) -> Rules:
    """Give a canary its share in every rule that leads to the stable version.

    Args:
        before: The rules without a canary.
        wanted: What it shall get.
    """
    changed = [_shared(rule, wanted) if _leads_to(rule, wanted.stable) else rule for rule in before]
    concerned = [rule for rule in before if _leads_to(rule, wanted.stable)]
    ahead = [_previewed(rule, wanted) for rule in concerned] if wanted.preview else []
    copied = [_copied(rule, wanted) for rule in concerned] if _by_method(wanted) else []
    return [*ahead, *(rule for rule in copied if rule["matches"]), *changed]


def promoted(before: Rules, wanted: Split) -> Rules:
    """Put the canary in the stable version's place, in every rule."""
    return [
        {**rule, "backendRefs": [_to_canary(ref, wanted) for ref in rule.get("backendRefs", [])]}
        if _leads_to(rule, wanted.stable)
        else rule
        for rule in before
    ]


def backends(rules: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Tell what the rules split between: percent by the name of a Service, previews left out."""
    weights: dict[str, int] = {}
    for rule in rules:
        if _is_preview(rule):
            continue
        for ref in rule.get("backendRefs") or []:
            weights[ref["name"]] = weights.get(ref["name"], 0) + int(ref.get("weight", 1))
    whole = sum(weights.values())
    return {name: round(100 * part / whole) for name, part in weights.items() if part and whole}


def normal(rules: Sequence[Mapping[str, Any]]) -> Rules:
    """Write out what the API server fills in, so that two lists of rules can be compared."""
    return [_filled(copy.deepcopy(dict(rule))) for rule in rules]


def _filled(rule: dict[str, Any]) -> dict[str, Any]:
    root = {"path": {"type": "PathPrefix", "value": "/"}}
    rule["matches"] = [{**root, **match} for match in rule.get("matches") or [root]]
    rule["backendRefs"] = [
        {"group": "", "kind": "Service", "weight": 1, **ref} for ref in rule.get("backendRefs", [])
    ]
    return rule


def _leads_to(rule: Mapping[str, Any], service: str) -> bool:
    return any(ref.get("name") == service for ref in rule.get("backendRefs") or [])


def _is_preview(rule: Mapping[str, Any]) -> bool:
    return any(
        header.get("name") == PREVIEW_HEADER
        for match in rule.get("matches") or []
        for header in match.get("headers") or []
    )


def _shared(rule: dict[str, Any], wanted: Split) -> dict[str, Any]:
    stable = next(ref for ref in rule["backendRefs"] if ref["name"] == wanted.stable)
    changed = rule
    if wanted.percent:
        canary = {**_to_canary(stable, wanted), "weight": wanted.percent}
        changed = {**rule, "backendRefs": [{**stable, "weight": 100 - wanted.percent}, canary]}
    if wanted.mirror and not wanted.methods:
        changed = {**changed, "filters": [*(rule.get("filters") or []), _mirror(wanted)]}
    return changed


def _by_method(wanted: Split) -> bool:
    return bool(wanted.mirror and wanted.methods)


def _copied(rule: dict[str, Any], wanted: Split) -> dict[str, Any]:
    """Copy requests of some methods alone, by a rule of their own."""
    matches = _with_methods(rule.get("matches") or [{}], wanted.methods)
    filters = [*(rule.get("filters") or []), _mirror(wanted)]
    return {**_unnamed(rule), "matches": matches, "filters": filters}


def _with_methods(
    matches: Sequence[Mapping[str, Any]], methods: Sequence[str]
) -> list[dict[str, Any]]:
    return [
        {**match, "method": method}
        for match in matches
        for method in methods
        if match.get("method", method) == method
    ]


def _unnamed(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out a rule's name, which is unique within its route."""
    return {key: value for key, value in rule.items() if key != "name"}


def _previewed(rule: dict[str, Any], wanted: Split) -> dict[str, Any]:
    stable = next(ref for ref in rule["backendRefs"] if ref["name"] == wanted.stable)
    header = {"type": "Exact", "name": PREVIEW_HEADER, "value": wanted.preview}
    matches = [
        {**match, "headers": [*(match.get("headers") or []), header]}
        for match in rule.get("matches") or [{}]
    ]
    if _by_method(wanted):
        # A match of a method goes before one of a header, so a preview has to have it as well.
        unmatched = [match for match in matches if "method" not in match]
        matches = [*matches, *_with_methods(unmatched, wanted.methods)]
    return {**_unnamed(rule), "matches": matches, "backendRefs": [_to_canary(stable, wanted)]}


def _to_canary(ref: Ref, wanted: Split) -> Ref:
    if ref["name"] != wanted.stable:
        return ref
    return {**ref, "name": wanted.canary, "port": wanted.port}


def _mirror(wanted: Split) -> dict[str, Any]:
    target = {"group": "", "kind": "Service", "name": wanted.canary, "port": wanted.port}
    mirrored: dict[str, Any] = {"backendRef": target}
    if wanted.mirror < 100:  # noqa: PLR2004
        mirrored["percent"] = wanted.mirror
    return {"type": "RequestMirror", "requestMirror": mirrored}
