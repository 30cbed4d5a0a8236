from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine._base.errors import InputError
from coalmine.events import RELEASE_REQUESTED, Event, Opaque
from coalmine.launcher.bindings import (
    PIPELINE,
    Binding,
    BoundParameter,
    NotTakenError,
    RefusedError,
    find_binding,
    why_not,
)
from coalmine.launcher.bindings_file import load_bindings
from coalmine.launcher.bound import bind
from coalmine.launcher.filter import compile_filter
from coalmine.launcher.intake import release_of
from coalmine.launcher.release import release_id_of


def event(data: object = None, *, type: str = RELEASE_REQUESTED, source: str = "/ci") -> Event:  # noqa: A002
    return Event(id="7", source=source, type=type, data=data, extensions={"team": "a"})


def bound(value: str, data: object, default: str | None = None) -> str:
    binding = Binding("b", ("t",), "p", (BoundParameter("x", value, default),))
    return bind(binding, event(data))["x"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("$(body.name)", "iris"),
        ("$(body.a.b)", "deep"),
        ("$(body.l[1].c)$(body.l[0])", "in a list, first"),
        ("v$(body.n)-$(body.name)", "v10-iris"),
        ("$(body.fraction)", "2.50"),
        ("$(body.odd)", "$(body.name)"),
        ("$(header.ce-type)", RELEASE_REQUESTED),
        ("$(header.Ce-Source)", "/ci"),
        ("$(header.ce-team)", "a"),
        ("fixed", "fixed"),
        ("", ""),
    ],
)
def test_references(value: str, expected: str) -> None:
    data = {
        "name": "iris",
        "a": {"b": "deep"},
        "l": [", first", {"c": "in a list"}],
        "n": 10,
        "fraction": Decimal("2.50"),
        "odd": "$(body.name)",
    }
    assert bound(value, data) == expected


@pytest.mark.parametrize("data", [None, {}, {"name": None}, [], "text", {"x": 1}])
def test_a_missing_field_is_named_or_defaulted(data: object) -> None:
    with pytest.raises(RefusedError, match="name: is required") as caught:
        bound("$(body.name)", data)
    assert caught.value.field == "name"
    assert bound("$(body.name)", data, "d") == "d"
    assert bound("$(body.name)", data, "$(header.ce-id)") == "7"
    with pytest.raises(RefusedError, match="other: is required"):
        bound("$(body.name)", data, "$(body.other)")


def test_data_that_is_no_json_is_never_looked_into() -> None:
    data = Opaque(b'{"name": "iris"}', "text/plain")
    for value, default in (("$(body.name)", "d"), ("x", "$(body.name)")):
        with pytest.raises(RefusedError, match=r"binding b, and the data is text/plain") as caught:
            bound(value, data, default)
        assert caught.value.field == "name"
    assert bound("$(header.ce-id)", data, "d") == "7"
    assert bound("$(body.name)", None, "d") == "d"


def test_filters_on_data_that_is_no_json() -> None:
    read = replace(event(Opaque(b"x")), subject="iris")
    assert "of no said media type" in compile_filter("body == null").refuses(read)
    assert compile_filter('header["ce-subject"] == "iris"').refuses(read) == ""


def test_data_that_is_no_json_tells_requests_apart() -> None:
    """Where the same content is the same release, other content is another."""
    binding = Binding("b", ("*",), "p", (BoundParameter("service", "s"),), same_within=60.0)
    keys = {
        release_of([binding], event(Opaque(raw, mime))).content_key
        for raw, mime in ((b"a", "text/plain"), (b"b", "text/plain"), (b"a", ""))
    }
    assert len(keys) == 3


@pytest.mark.parametrize("value", [True, {}, {"a": 1}, [], ["a"]])
def test_objects_are_refused(value: object) -> None:
    with pytest.raises(RefusedError, match="not text or a number"):
        bound("$(body.name)", {"name": value}, "default")


def test_the_first_binding_that_takes_it() -> None:
    some = Binding("some", ("t",), "p", (), sources=("/a",))
    rest = Binding("rest", ("t", "u"), "p", ())
    assert find_binding([some, rest], event(type="t", source="/a")) is some
    assert find_binding([some, rest], event(type="t", source="/b")) is rest
    with pytest.raises(NotTakenError, match="send one of: t, u"):
        find_binding([some, rest], event(type="v"))
    with pytest.raises(NotTakenError, match="some: its sources are /a, not /b"):
        find_binding([some], event(type="t", source="/b"))


@pytest.mark.parametrize(
    ("pattern", "source", "matches"),
    [
        ("*", "", True),
        ("/ci/*", "/ci/a/b", True),
        ("/ci/*", "/x/ci/a", False),
        ("*.git", "https://h/a.git", True),
        ("/a?b=[1]", "/a?b=[1]", True),
        ("/a?b=[1]", "/axb=1", False),
        ("/a.b", "/axb", False),
    ],
)
def test_patterns(pattern: str, source: str, matches: bool) -> None:
    binding = Binding("b", ("t",), "p", (), sources=(pattern,))
    assert (why_not(binding, event(type="t", source=source)) == "") is matches


def test_a_subject() -> None:
    binding = Binding("b", ("t",), "p", (), subjects=("models/*",))
    taken = replace(event(type="t"), subject="models/iris")
    assert why_not(binding, taken) == ""
    assert "its subjects are models/*, not ''" in why_not(binding, event(type="t"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("body.name == 'iris' && body.n > 1.5", ""),
        ("header['ce-type'].endsWith('.v1')", ""),
        ("header.canonical('Ce-Team') == 'a'", ""),
        ("body.tags.exists(t, t == 'ok') && !body.tags.exists(t, t == 'no')", ""),
        ("has(body.other)", "is false"),
        ("body.other == 1", "needs 'other'"),
        ("body.name", "no boolean"),
        ("body.name > 1", "fails at this event"),
        ("1 / int(body.zero) == 1", "fails at this event"),
    ],
)
def test_filters(text: str, says: str) -> None:
    data = {"name": "iris", "n": Decimal("2.50"), "tags": ["ok"], "zero": 0}
    refusal = compile_filter(text).refuses(event(data))
    assert says in refusal
    assert bool(says) == bool(refusal)


@pytest.mark.parametrize(
    "text",
    [
        "body.a.all(x, body.b.all(y, x == y))",
        "body.a.filter(x, (body.b.exists (y, true))).size() > 0",
        "true || " * 600 + "true",
    ],
)
def test_filters_that_could_take_long(text: str) -> None:
    with pytest.raises(InputError):
        compile_filter(text)


def test_loops_that_stand_beside_each_other_or_in_a_text() -> None:
    compile_filter("body.a.all(x, x > 0) && body.b.all(x, '.all(.all(' != x)")


def test_the_same_request_under_another_id() -> None:
    """What differs besides the id, the source and the time is another request."""
    binding = replace(load_bindings()[0], same_within=60.0)
    asked = event({"name": "iris", "version": "v1"})
    keys = [
        release_of([binding], one).content_key
        for one in [
            asked,
            replace(asked, id="8", source="/other", data={"version": "v1", "name": "iris"}),
            replace(asked, data={"name": "iris", "version": "v2"}),
            replace(asked, subject="s"),
        ]
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_the_default_binding() -> None:
    release = release_of(load_bindings(), event({"name": "iris"}))
    assert release.id == release_id_of("/ci", "7")
    assert (release.service, release.name, release.version) == ("iris", "iris", "")
    assert release.parameters == {
        "service": "iris",
        "name": "iris",
        "version": "",
        "percent": "10",
        "release_id": release.id,
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "Iris"),
        ("name", "-iris"),
        ("name", "i" * 64),
        ("name", "iris\n"),
        ("service", "a b"),
        ("service", "s" * 47),
        ("service", "../x"),
        ("version", "1 2"),
        ("version", "$(rm)"),
        ("percent", 0),
        ("percent", 100),
        ("percent", -1),
        ("percent", Decimal("10.5")),
        ("percent", "ten"),
        ("percent", "²"),
        ("percent", True),
    ],
)
def test_wrong_values_are_named(field: str, value: object) -> None:
    with pytest.raises(RefusedError) as caught:
        release_of(load_bindings(), event({"name": "iris", field: value}))
    assert caught.value.field == field


def test_the_id_of_an_event_never_changes() -> None:
    # Another one would make a second release of an event that is sent again after an upgrade.
    assert release_id_of("/ci", "1") == "r46tjsgsph5is5hj"


@given(st.text(), st.text(), st.text(), st.text())
def test_ids_follow_from_source_and_id(source: str, event_id: str, source2: str, id2: str) -> None:
    try:
        one, two = release_id_of(source, event_id), release_id_of(source2, id2)
    except UnicodeEncodeError:
        return
    assert (one == two) == ((source, event_id) == (source2, id2))
    assert len(one) == 16
    assert one.startswith("r")
    assert one.isalnum()
    assert one == one.lower()


OFFERING = Binding(
    "b", ("t",), "release", (BoundParameter("service", "s"),), pipelines=("progressive",)
)


@pytest.mark.parametrize(
    ("asked", "starts"), [("", "release"), ("release", "release"), ("progressive", "progressive")]
)
def test_an_event_asks_for_a_pipeline_that_is_offered(asked: str, starts: str) -> None:
    asking = replace(event(type="t"), extensions={PIPELINE: asked} if asked else {})
    assert release_of([OFFERING], asking).pipeline == starts
    withheld = replace(OFFERING, pipelines=())
    if starts != "release":
        with pytest.raises(RefusedError, match="does not offer") as caught:
            release_of([withheld], asking)
        assert caught.value.field == PIPELINE


def test_the_same_content_for_another_pipeline_is_another_release() -> None:
    binding = replace(OFFERING, same_within=60.0)
    keys = {
        release_of([binding], replace(event(type="t"), extensions=extensions)).content_key
        for extensions in ({}, {PIPELINE: "release"}, {PIPELINE: "progressive"}, {"other": "x"})
    }
    assert len(keys) == 3


def test_the_default_bindings_offer_the_progressive_pipeline() -> None:
    [binding] = load_bindings()
    assert binding.pipelines == ("progressive",)
    assert not {"policy", "policies"} & {one.name for one in binding.parameters}


GOOD = """
bindings:
  - name: b
    types: [t]
    sources: [/a]
    pipeline: p
    engine: local
    parameters:
      - {name: service, value: $(body.s)}
"""


FULL = """
    subjects: [m/*]
    filter: body.n == 1 && header.match("ce-source", "/ci")
    on_conflict: supersede
    same_within: 10m
    engine"""


def test_a_bindings_file(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(GOOD)
    assert load_bindings(path) == (
        Binding("b", ("t",), "p", (BoundParameter("service", "$(body.s)"),), ("/a",)),
    )
    path.write_text(GOOD.replace("    engine", FULL))
    [full] = load_bindings(path)
    assert (full.subjects, full.on_conflict, full.same_within) == (("m/*",), "supersede", 600.0)
    assert full.filter
    path.write_text(GOOD.replace("pipeline: p", "pipeline: p\n    pipelines: [q, r]"))
    assert load_bindings(path)[0].pipelines == ("q", "r")
    assert full.filter.refuses(event({"n": 1})) == ""
    assert "is false" in full.filter.refuses(event({"n": 2}))


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("types: [t]", "types: []", "bindings.0.types"),
        ("types: [t]", "types: [1]", "bindings.0.types.0"),
        ("engine: local", "engnie: local", "bindings.0.engnie"),
        ("pipeline: p", "", "bindings.0.pipeline"),
        ("$(body.s)", "$(boddy.s)", "$(boddy.s)"),
        ("$(body.s)", "'$(body.s[x])'", "b.yaml:9: bindings.0.parameters.0.value"),
        ("engine: local", "on_conflict: wait", "b.yaml:7: bindings.0.on_conflict"),
        ("engine: local", "same_within: 10", "b.yaml:7: bindings.0.same_within"),
        ("engine: local", "filter: 'body.a =='", "b.yaml:7: bindings.0.filter: is no CEL"),
        ("engine: local", "filter: bdy.a == 1", "uses bdy"),
        ("engine: local", "filter: foo(body.a)", "the function foo"),
        ("engine: local", "filter: ''", "bindings.0.filter"),
        ("engine: local", "engine: local\n    engine: kfp", "stands twice"),
        ("$(body.s)", "$(body)", "$(body)"),
        ("name: service", "name: other", "there is no service"),
        ("bindings:", "binding:", "binding"),
        ("bindings:", "bindings: [", "YAML"),
        (GOOD, "", "the file"),
    ],
)
def test_a_wrong_bindings_file_says_where(tmp_path: Path, old: str, new: str, place: str) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(InputError) as caught:
        load_bindings(path)
    assert place in str(caught.value)
    assert str(path) in str(caught.value)
