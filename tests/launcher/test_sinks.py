"""Sinks that fail, that ask for something, and that take nothing for days."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from event_sink import EventSink, running_sink
from hypothesis import given
from hypothesis import strategies as st

from coalmine._base.errors import InputError
from coalmine.events import new_event
from coalmine.launcher import outbox, reloaded
from coalmine.launcher.outbox import revive
from coalmine.launcher.post import Post
from coalmine.launcher.sinks import Sink, read_sinks
from coalmine.launcher.sinks_file import load_sinks
from coalmine.launcher.stuck import MOST_FAILING, Stuck, wait_after
from tests.launcher.bench import PROMOTED, Bench, new, release_it


def test_a_sink_that_is_down_is_asked_more_and_more_rarely(bench: Bench, sink: EventSink) -> None:
    for number in range(40):
        bench.ledger.accept([[new(f"r{number}", f"s{number}")]])
    sink.answer = lambda _: (503, {})
    waits = []
    for _ in range(5):
        waits.append(bench.sender.round())
        assert bench.sender.round() == waits[-1], "it is left alone meanwhile"
        bench.now += waits[-1]
    assert waits == [wait_after(number) for number in range(1, 6)]
    assert len(sink.tried) < 5 * 20, "a round does not try everything"
    assert bench.depth() == 40
    assert bench.ledger.waiting()[0][0] == bench.sink.name
    sink.answer = lambda _: (429, {"retry-after": "77"})
    assert bench.sender.round() == 77
    bench.now += 77
    sink.answer = lambda _: (200, {})
    bench.sender.round()
    assert bench.depth() == 0
    assert len({one["id"] for one in sink.taken}) == 80


def test_one_release_that_fails_keeps_its_order_and_holds_no_other_up(
    bench: Bench, sink: EventSink
) -> None:
    release_it(bench, "r1")
    bench.ledger.accept([[new("r2", "other")]])
    sink.answer = lambda event: (500 if event["id"] == "r1.running" else 202, {})
    bench.now += bench.sender.round()
    ids = [one["id"] for one in sink.taken]
    assert "r2.accepted" in ids
    assert [one for one in ids if one.startswith("r1")] == ["r1.accepted", "r1.pipelinerun.queued"]
    sink.answer = lambda _: (202, {})
    bench.sender.round()
    assert [one["type"] for one in sink.taken if one["id"].startswith("r1")] == PROMOTED
    assert bench.depth() == 0


def test_sinks_by_option_and_environment() -> None:
    environ = {"K_SINK": "http://broker/ns", "K_CE_OVERRIDES": '{"extensions": {"a": "b"}}'}
    one, two = read_sinks(["http://u:secret@host/p?token=x", "http://broker/ns"], environ)
    assert "hush" not in one.name
    assert "token" not in one.name
    assert one.name.startswith("http://host/p#")
    assert (two.name, two.extensions) == ("http://broker/ns", {"a": "b"})
    for urls, wrong in ((["ftp://x"], {}), (["http:///x"], {}), ([], {"K_CE_OVERRIDES": "[]"})):
        with pytest.raises(InputError):
            read_sinks(urls, wrong)


def accepted(bench: Bench, numbers: range) -> None:
    bench.ledger.accept([[new(f"r{number}", f"s{number}")] for number in numbers])


def test_releases_that_are_never_taken_hold_no_other_up_for_ever(
    bench: Bench, sink: EventSink
) -> None:
    accepted(bench, range(50))
    sink.answer = lambda event: (202 if event["id"].startswith("r49.") else 500, {})
    rounds = 0
    while not sink.taken:
        bench.now += bench.sender.round()
        rounds += 1
        assert rounds < 10
    accepted(bench, range(50, 51))
    sink.answer = lambda event: (202 if event["id"] > "r49" else 500, {})
    bench.now += bench.sender.round()
    assert "r50.accepted" in {one["id"] for one in sink.taken}
    assert bench.depth() == 49


def test_a_releases_order_holds_over_pages_and_while_time_goes_on(
    bench: Bench, sink: EventSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose wait is over in the middle of a round must not go on with its later notes."""
    monkeypatch.setattr(outbox, "PAGE", 3)
    release_it(bench, "r1")
    accepted(bench, range(2, 6))
    broken = {"r1.running"}

    def answer(event: dict[str, Any]) -> tuple[int, dict[str, str]]:
        bench.now += 100.0
        return (500 if event["id"] in broken else 202), {}

    sink.answer = answer
    for _ in range(2):
        wait = bench.sender.round()  # which changes the clock, too
        bench.now += wait
    assert [one["id"] for one in sink.taken if one["id"].startswith("r1.")] == [
        "r1.accepted",
        "r1.pipelinerun.queued",
    ]
    broken.clear()
    bench.sender.round()
    assert bench.depth() == 0
    assert [one["type"] for one in sink.taken if one["id"].startswith("r1.")] == PROMOTED


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.booleans(), st.floats(0, 5)),
        max_size=60,
    )
)
def test_no_release_waits_longer_than_was_said(tried: list[tuple[str, bool, float]]) -> None:
    now = 0.0
    stuck = Stuck(lambda: now)
    failures: dict[str, int] = {}
    last: dict[str, float] = {}
    for release, good, seconds in tried:
        now += seconds
        if stuck.may_try(release):
            (stuck.took if good else stuck.failed)(release)
            failures[release] = 0 if good else failures.get(release, 0) + 1
            last[release] = now
        elif not stuck.down:
            assert now < last[release] + wait_after(failures[release])
    stuck.all_seen()
    now += wait_after(99)
    assert all(stuck.may_try(release) for release in "abcdefgh")


def test_a_sink_that_is_down_is_tried_with_all_releases_in_turn() -> None:
    now = 0.0
    stuck = Stuck(lambda: now)
    names = [f"r{number}" for number in range(3 * MOST_FAILING)]
    tried: list[str] = []
    while len(set(tried)) < len(names):
        [first, *_] = [name for name in names if stuck.may_try(name)]
        tried.append(first)
        stuck.failed(first)
        now += 120.0
    assert len(tried) <= len(names) + MOST_FAILING


def test_what_is_not_taken_for_days_is_put_aside_and_can_be_put_back(
    bench: Bench, sink: EventSink
) -> None:
    accepted(bench, range(2))
    sink.answer = lambda event: (500 if event["id"].startswith("r0.") else 202, {})
    bench.date += timedelta(days=2.9)
    bench.now += bench.sender.round()
    assert (bench.depth(), bench.dead()) == (1, 0)
    accepted(bench, range(2, 3))
    bench.date += timedelta(days=0.2)
    bench.now += bench.sender.round()
    assert (bench.depth(), bench.dead()) == (0, 1)
    sink.answer = lambda _: (202, {})
    bench.now += bench.sender.round()
    assert not any(one["id"].startswith("r0.") for one in sink.taken)
    with bench.ledger.writing() as connection:
        assert revive(connection, bench.sink.name) == 1
    bench.now += 100
    bench.sender.round()
    assert "r0.accepted" in {one["id"] for one in sink.taken}
    assert (bench.depth(), bench.dead()) == (0, 0)


def test_a_sink_that_is_down_for_days_loses_its_old_notes_alone(
    bench: Bench, sink: EventSink
) -> None:
    accepted(bench, range(40))
    sink.answer = lambda _: (500, {})
    bench.date += timedelta(days=4)
    bench.ledger._clock = lambda: bench.date
    accepted(bench, range(40, 42))
    bench.sender.round()
    assert (bench.depth(), bench.dead()) == (2, 40)


def test_a_dead_release_that_is_tried_again_has_events_of_its_own(
    bench: Bench, sink: EventSink
) -> None:
    from coalmine.launcher.facts import Facts  # noqa: PLC0415
    from coalmine.launcher.release import ReleaseState  # noqa: PLC0415

    accepted(bench, range(1))
    for _ in range(3):
        bench.ledger.begin()
        bench.ledger.record("r0", (), Facts(reason="away"), ReleaseState.DEAD)
        assert bench.ledger.retry("r0") is ReleaseState.ACCEPTED
    bench.sender.round()
    ids = [one["id"] for one in sink.taken]
    assert len(ids) == len(set(ids)) == 4 * 2 + 3 * 4
    assert ids[0] == "r0.accepted"
    assert ids[-2:] == ["r0.4.accepted", "r0.4.pipelinerun.queued"]
    inner = [one["data"]["context"]["id"] for one in sink.taken if "context" in one["data"]]
    assert set(inner) <= set(ids)


def make_identity(file: Path) -> str:
    """Write what a server of 127.0.0.1 shows; gives the certificate of who signed it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(pem + secret)
    return pem.decode()


@pytest.fixture
def identity(tmp_path: Path) -> tuple[str, ssl.SSLContext]:
    """An authority's certificate, and what a server shows that it signed."""
    authority = make_identity(tmp_path / "identity.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "identity.pem")
    return authority, context


def posted(sinks: tuple[Sink, ...], times: int = 1) -> list[str]:
    """Post events to the only sink, and say for each what is wrong."""
    [sink] = sinks
    with contextlib.closing(Post(sink)) as post:
        return [post.post(new_event(data={}, source="/s")).error for _ in range(times)]


def test_a_sink_as_knatives_sinkbinding_has_it(
    identity: tuple[str, ssl.SSLContext], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token in /oidc is read again when the kubelet has renewed it."""
    monkeypatch.setattr(reloaded, "LOOK_SECONDS", 0.0)
    authority, context = identity
    token = tmp_path / "token"
    token.write_text("first.jwt.token")
    with running_sink(context) as sink:
        bound = {"K_SINK": sink.url, "K_CE_OVERRIDES": '{"extensions": {"region": "north"}}'}
        [error] = posted(read_sinks([], bound, oidc_token=token))
        assert "CERTIFICATE_VERIFY_FAILED" in error
        sinks = read_sinks([], bound | {"K_CA_CERTS": authority}, oidc_token=token)
        assert posted(sinks) == [""]
        renewed = tmp_path / "new"
        renewed.write_text("second.jwt.token\n")
        renewed.replace(token)
        assert posted(sinks) == [""]
        token.write_text("two words")
        assert posted(sinks) == [""]
        token.write_text("")
        assert posted(sinks) == [""]
        assert sink.shown == [
            "Bearer first.jwt.token",
            "Bearer second.jwt.token",
            "Bearer second.jwt.token",
            "",
        ]
        assert {one["region"] for one in sink.taken} == {"north"}


def test_sinks_of_a_file(identity: tuple[str, ssl.SSLContext], tmp_path: Path) -> None:
    authority, context = identity
    (tmp_path / "ca.pem").write_text(authority)
    (tmp_path / "token").write_text("from-a-file\n")
    path = tmp_path / "sinks.yaml"
    with running_sink(context) as sink:
        about = {"url": sink.url, "ca": "ca.pem", "extensions": {"team": "a"}}
        for told in ({"token_file": "token"}, {"token_env": "TOKEN"}, {}):
            path.write_text(json.dumps({"sinks": [about | told]}))
            assert posted(load_sinks(path, {"TOKEN": "from-env"})) == [""]
        assert sink.shown == ["Bearer from-a-file", "Bearer from-env", ""]
        assert {one["team"] for one in sink.taken} == {"a"}


def test_authorities_are_read_again_when_their_file_changes(
    identity: tuple[str, ssl.SSLContext], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloaded, "LOOK_SECONDS", 0.0)
    authority, context = identity
    file, path = tmp_path / "ca.pem", tmp_path / "sinks.yaml"
    file.write_text(authority)
    event = new_event(data={}, source="/s")
    with running_sink(context) as sink:
        path.write_text(json.dumps({"sinks": [{"url": sink.url, "ca": "ca.pem"}]}))
        [told] = load_sinks(path, {})
        with contextlib.closing(Post(told)) as post:
            assert post.post(event).error == ""
            newer = make_identity(tmp_path / "newer.pem")
            file.write_text(newer)
            assert "CERTIFICATE_VERIFY_FAILED" in post.post(event).error, "of the one before"
            context.load_cert_chain(tmp_path / "newer.pem")
            assert post.post(event).error == ""
            for wrong in ("none at all", ""):
                file.write_text(wrong)
                assert post.post(event).error == ""
        assert len(sink.taken) == 4


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("sinks: []", "sinks"),
        ("sinks: [{url: nowhere}]", "http or https"),
        ("sinks: [{url: 'http://a', token: x}]", "remove it"),
        ("sinks: [{url: 'http://a', token_file: a, token_env: b}]", "give one of them"),
        ("sinks: [{url: 'http://a', token_file: none}]", "cannot be read"),
        ("sinks: [{url: 'http://a', token_env: NONE}]", "has no NONE"),
        ("sinks: [{url: 'http://a', token_env: EMPTY}]", "no token"),
        ("sinks: [{url: 'http://a', token_env: BAD}]", "a header cannot carry"),
        ("sinks: [{url: 'http://a', ca: sinks.yaml}]", "no certificates"),
        ("sinks: [{url: 'http://a', extensions: {Bad: x}}]", "'Bad'"),
        ("sinks: [{url: 'http://a', extensions: {id: x}}]", "'id'"),
    ],
)
def test_what_is_wrong_with_a_sinks_file(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "sinks.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=says) as caught:
        load_sinks(path, {"EMPTY": " ", "BAD": "two words-of-hush"})
    assert "hush" not in str(caught.value)
