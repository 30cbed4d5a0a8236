"""Who may send, read and decide: each kind of credential, good and bad."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from coalmine._base.errors import CoalmineError, InputError
from coalmine.events import Event
from coalmine.launcher.access import Guarded, OpenAccess
from coalmine.launcher.access_file import load_access
from coalmine.launcher.buckets import SharedBuckets
from coalmine.launcher.caller import AccessError, Caller, Right, check_events
from coalmine.launcher.oidc import Issuer as AnIssuer
from coalmine.launcher.oidc import OidcTokens
from coalmine.launcher.rate import RateLimit
from coalmine.launcher.reloaded import LOOK_SECONDS, Reloaded
from tests.launcher.forked import CONTEXT

TOKEN = "a-token-of-some-length"
OTHER = "another-token-of-some-length"
NOW = 1_800_000_000


def loaded(folder: Path, text: str, **environ: str) -> Guarded:
    path = folder / "access.yaml"
    path.write_text(text)
    return load_access(path, environ, own_token="own-token-of-some-length")


def admit(access: Guarded | OpenAccess, right: Right = Right.READ, **headers: str) -> Caller | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.run(access.admit(named, right))


def refused(access: Guarded | OpenAccess, right: Right = Right.READ, **headers: str) -> int:
    with pytest.raises(AccessError) as caught:
        admit(access, right, **headers)
    assert caught.value.fix
    assert TOKEN not in str(caught.value)
    return caught.value.status


def event(source: str = "/ci/a", kind: str = "t.a.v1") -> Event:
    return Event(id="1", source=source, type=kind)


def test_in_patterns_only_the_star_is_special(tmp_path: Path) -> None:
    access = loaded(tmp_path, "tokens: [{name: ci, env: CI, sources: ['/ci?job=[ab]*']}]", CI=TOKEN)
    caller = admit(access, Right.SEND, authorization=f"Bearer {TOKEN}")
    assert caller is not None
    check_events(caller, [event("/ci?job=[ab]"), event("/ci?job=[ab]/7")])
    for source in ("/ci/job=a", "/ci?job=a"):
        with pytest.raises(AccessError, match="may not send events from"):
            check_events(caller, [event(source)])


def test_types_and_verbs_one_by_one(tmp_path: Path) -> None:
    text = "tokens: [{name: ci, env: CI, may: [approve, send], types: ['t.*', u]}, "
    text += "{name: all, env: ALL, may: [decide]}]"
    access = loaded(tmp_path, text, CI=TOKEN, ALL=OTHER)
    caller = admit(access, Right.SEND, authorization=f"Bearer {TOKEN}")
    assert caller is not None
    check_events(caller, [event(), event("/elsewhere", "u")])
    with pytest.raises(AccessError, match="ci may not send events of type v") as caught:
        check_events(caller, [event(), event("/ci/a", "v")])
    assert (caught.value.status, "t.*, u" in caught.value.fix) == (403, True)
    with pytest.raises(AccessError) as unread:
        admit(access, Right.READ, authorization=f"Bearer {TOKEN}")
    assert "use a credential with the right 'read'," in unread.value.fix
    verbs = (Right.CANCEL, Right.RETRY, Right.APPROVE, Right.REJECT)
    for verb in verbs:
        assert admit(access, verb, authorization=f"Bearer {OTHER}")
    for verb in {*verbs, Right.READ} - {Right.APPROVE}:
        assert refused(access, verb, authorization=f"Bearer {TOKEN}") == 403
    assert admit(access, Right.APPROVE, authorization=f"Bearer {TOKEN}")


def test_tokens_and_rights(tmp_path: Path) -> None:
    text = "tokens: [{name: ci, env: CI, may: [send], sources: ['/ci/*']}, {name: all, env: ALL}]"
    access = loaded(tmp_path, text, CI=TOKEN, ALL=OTHER)
    caller = admit(access, Right.SEND, authorization=f"Bearer {TOKEN}")
    assert caller == Caller("ci", frozenset({Right.SEND}), ("/ci/*",))
    check_events(caller, [event("/ci/a")])
    with pytest.raises(AccessError, match="ci may not send events from /other") as caught:
        check_events(caller, [event("/ci/a"), event("/other")])
    assert caught.value.status == 403
    assert refused(access, Right.READ, authorization=f"Bearer {TOKEN}") == 403
    assert admit(access, Right.CANCEL, authorization=f"bearer {OTHER}") == Caller("all")
    own = "Bearer own-token-of-some-length"
    assert admit(access, Right.READ, authorization=own)
    assert refused(access, Right.CANCEL, authorization=own) == 403
    for wrong in ("", "Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é.b.c"):
        assert refused(access, Right.SEND, authorization=wrong) == 401
    assert refused(access, Right.SEND) == 401


def test_a_rotated_secret_is_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    secret = tmp_path / "secret"
    secret.write_text("1")

    def load() -> int:
        try:
            return int(secret.read_text())
        except ValueError:
            raise InputError("is no number", field="secret") from None

    value = Reloaded(load, [secret], "a secret", monotonic=lambda: now)
    secret.write_text("22")
    assert value() == 1
    now += LOOK_SECONDS
    assert (value(), value.problem) == (22, "")
    secret.write_text("none")
    now += LOOK_SECONDS
    assert (value(), value.problem) == (22, "secret: is no number")
    assert "what was read before still holds" in caplog.text
    secret.write_text("333")
    now += LOOK_SECONDS
    assert (value(), value.problem) == (333, "")


def test_several_tokens_in_one_file(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"{TOKEN}\n\n{OTHER}\n")
    access = loaded(tmp_path, "tokens: [{name: ci, file: tokens}]")
    for token in (TOKEN, OTHER):
        assert admit(access, authorization=f"Bearer {token}") == Caller("ci")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tokens: [{name: ci}]", "access.yaml:1: tokens.0: a secret is in a file or"),
        ("tokens:\n- name: ci\n  env: CI\n  my: [send]", "access.yaml:4: tokens.0.my"),
        ("tokens: [{name: ci, env: CI, may: [all]}]", "tokens.0.may.0: Input should be 'send'"),
        ("tokens: [{name: ci, env: NONE}]", "the environment has no NONE"),
        ("tokens: [{name: ci, env: SHORT}]", "ci: a secret is not good: it has less than 16"),
        ("tokens: [{name: ci, env: BLANK}]", "it has characters that a header cannot carry"),
        ("tokens: [{name: ci, file: none}]", "none: cannot be read: No such file"),
        ("signatures: [{name: ci, env: CI}]", "ci: a secret is not good: it is no base64"),
        ("signatures: [{name: ci, env: KEY}]", "it has less than 24 bytes"),
        ("tokens: [{name: a, env: CI}, {name: a, env: CI}]", "a name stands twice"),
        ("{}", "nobody has access"),
        ("oidc: [{name: a, issuer: i, audience: b, jwks: none}]", "there is no file"),
        ("rate: 0", "greater than or equal to 1"),
    ],
)
def test_what_is_wrong_with_an_access_file(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, text, CI=TOKEN, SHORT="short", BLANK="a token of some length", KEY="YWJj")
    assert says in str(caught.value)
    assert "short" not in str(caught.value)


def test_the_own_machine_but_no_web_page() -> None:
    access = OpenAccess()
    assert admit(access, Right.CANCEL)
    assert admit(access, Right.READ, origin="https://example.com")
    assert refused(access, Right.SEND, origin="https://example.com") == 403
    assert refused(access, Right.CANCEL, origin="null") == 403


KEYS = [bytes(range(number, number + 32)) for number in (0, 1)]
SECRETS = "\n".join(f"whsec_{base64.b64encode(key).decode()}" for key in KEYS)


def signed(key: bytes, body: bytes, stamp: object = NOW) -> str:
    text = f"msg_1.{stamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()


def signed_headers(signature: str, stamp: object = NOW) -> dict[str, str]:
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    return dict(zip(names, ("msg_1", str(stamp), signature), strict=True))


def webhooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guarded:
    monkeypatch.setattr("time.time", lambda: float(NOW))
    access = loaded(tmp_path, "signatures: [{name: hub, env: KEYS}]", KEYS=SECRETS)
    access._clock = lambda: float(NOW)
    return access


def test_signatures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access = webhooks(tmp_path, monkeypatch)
    for key in KEYS:
        headers = signed_headers(f"v1a,x v1,eA== {signed(key, b'{}')}")
        assert asyncio.run(access.admit(headers, Right.SEND)) is None
        assert access.admit_signed(headers, b"{}") == Caller("hub")
    assert refused(access, Right.READ, webhook_signature="v1,x") == 401


def test_the_example_of_the_scheme() -> None:
    """The vector that the scheme's own libraries are tested with."""
    from coalmine.launcher.signature import secret_key, signs  # noqa: PLC0415

    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    key = secret_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert signs([key], headers, b'{"test": 2432232314}', 1614265330.0)


@pytest.mark.parametrize(
    ("body", "signature", "stamp"),
    [
        (b"{} ", signed(KEYS[0], b"{}"), NOW),
        (b"{}", signed(b"x" * 32, b"{}"), NOW),
        (b"{}", signed(KEYS[0], b"{}", NOW - 301), NOW - 301),
        (b"{}", signed(KEYS[0], b"{}", NOW + 301), NOW + 301),
        (b"{}", signed(KEYS[0], b"{}"), NOW + 1),
        (b"{}", signed(KEYS[0], b"{}", "x"), "x"),
        (b"{}", signed(KEYS[0], b"{}").replace("v1,", "v2,"), NOW),
        (b"{}", "\xff", NOW),
        (b"{}", "", NOW),
    ],
)
def test_signatures_that_are_not_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes, signature: str, stamp: object
) -> None:
    access = webhooks(tmp_path, monkeypatch)
    with pytest.raises(AccessError) as caught:
        access.admit_signed(signed_headers(signature, stamp), body)
    assert caught.value.status == 401


def test_a_rate_for_each_caller() -> None:
    now = 0.0
    limit = RateLimit(60, lambda: now)
    assert [limit.take("a", 30), limit.take("a", 30), limit.take("a", 2)] == [0, 0, 2]
    assert limit.take("b", 1) == 0
    now = 1.0
    assert [limit.take("a", 1), limit.take("a", 1)] == [0, 1]
    now = 100.0
    assert limit.take("a", 500) == 0
    assert limit.take("a", 1) > 400


@pytest.mark.parametrize("per_minute", [60, 600])
def test_a_rate_that_several_processes_share(tmp_path: Path, per_minute: int) -> None:
    """Each opens the file for itself, as processes do; what one takes the others have not."""
    now = 0.0
    path = tmp_path / "rates"
    limits = [RateLimit(per_minute, lambda: now, SharedBuckets(path)) for _ in range(3)]
    taken = [limits[turn % 3].take("a", 1) == 0 for turn in range(per_minute + 5)]
    assert taken == [True] * per_minute + [False] * 5
    assert limits[0].take("b", 1) == 0
    now = 60.0 / per_minute
    assert [limits[1].take("a", 1) == 0, limits[2].take("a", 1) == 0] == [True, False]


def test_processes_that_take_at_once_take_no_more_than_there_is(tmp_path: Path) -> None:
    with CONTEXT.Pool(2) as pool:
        taken = pool.starmap(take_all, [(tmp_path / "rates", 300)] * 2)
    assert sum(taken) == 400


def take_all(path: Path, tries: int) -> int:
    limit = RateLimit(400, lambda: 0.0, SharedBuckets(path))
    return sum(limit.take("a", 1) == 0 for _ in range(tries))


def test_the_longest_silent_of_many_callers_is_forgotten(tmp_path: Path) -> None:
    now = 0.0
    limit = RateLimit(1, lambda: now, SharedBuckets(tmp_path / "rates"))
    for number in range(10_000):
        now = number * 1e-3
        assert limit.take(f"caller {number}", 1) == 0
    assert limit.take("caller 9999", 1) > 0


def test_what_is_shared_has_its_room_on_disk(tmp_path: Path) -> None:
    """A hole that is written to on a full disk would kill the process."""
    path = tmp_path / "rates"
    assert RateLimit(1, lambda: 0.0, SharedBuckets(path)).take("a", 1) == 0
    assert path.stat().st_blocks * 512 >= path.stat().st_size


def test_a_rate_that_cannot_be_counted_is_said_to_be_so(tmp_path: Path) -> None:
    """And is counted once there is room."""
    limit = RateLimit(1, lambda: 0.0, SharedBuckets(tmp_path / "counts/rates"))
    with pytest.raises(CoalmineError, match="cannot be counted"):
        limit.take("a", 1)
    (tmp_path / "counts").mkdir()
    assert limit.take("a", 1) == 0


class Issuer:
    """A real server of an issuer's keys."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.fetched: list[str] = []
        self.away = False
        self.keys = {
            "keys": [
                {**json.loads(RSAAlgorithm.to_jwk(self.rsa.public_key())), "kid": "rsa"},
                {**json.loads(ECAlgorithm.to_jwk(self.ec.public_key())), "kid": "ec"},
            ]
        }
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetched.append(self.path)
                discovery = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}
                content = issuer.keys if self.path == "/keys" else discovery
                self.send_response(503 if issuer.away else 200)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,)).start()

    def token(self, kid: str = "rsa", algorithm: str = "RS256", **claims: object) -> str:
        payload: dict[str, Any] = {"iss": self.url, "aud": "coalmine", "sub": "sa:ci", "exp": 4e9}
        key: Any = self.rsa if algorithm.startswith("RS") else self.ec
        payload |= claims
        kept = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode(kept, key, algorithm, headers={"kid": kid})


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.server.shutdown()
    made.server.server_close()


def guarded(folder: Path, issuer: Issuer, more: str = "") -> Guarded:
    text = (
        f"oidc: [{{name: k, issuer: '{issuer.url}', audience: coalmine, subjects: ['sa:*']{more}}}]"
    )
    return loaded(folder, text)


def test_tokens_of_an_issuer(tmp_path: Path, issuer: Issuer) -> None:
    access = guarded(tmp_path, issuer)
    issuer.fetched.clear()
    for token in [issuer.token(), issuer.token("ec", "ES256"), issuer.token()]:
        assert admit(access, authorization=f"Bearer {token}") == Caller("k:sa:ci")
    assert issuer.fetched == ["/.well-known/openid-configuration", "/keys"]
    refused_tokens: Mapping[str, int] = {
        issuer.token(aud="other"): 401,
        issuer.token(exp=1): 401,
        issuer.token(nbf=4e9): 401,
        issuer.token(exp=None): 401,
        issuer.token(sub=None): 401,
        issuer.token(iss="http://other"): 401,
        issuer.token("unknown"): 401,
        issuer.token("ec"): 401,
        issuer.token()[:-4] + "AAAA": 401,
        jwt.encode({"iss": issuer.url}, "s" * 32, "HS256", headers={"kid": "rsa"}): 401,
        issuer.token(sub="user:me"): 403,
        "a.b.c": 401,
    }
    for token, status in refused_tokens.items():
        assert refused(access, authorization=f"Bearer {token}") == status
    assert len(issuer.fetched) == 2


def test_keys_from_a_file(tmp_path: Path, issuer: Issuer) -> None:
    (tmp_path / "keys.json").write_text(json.dumps(issuer.keys))
    access = guarded(tmp_path, issuer, ", jwks: keys.json")
    issuer.fetched.clear()
    assert admit(access, authorization=f"Bearer {issuer.token()}")
    assert issuer.fetched == []


def test_made_up_keys_do_not_ask_an_issuer_that_is_away_again_and_again(issuer: Issuer) -> None:
    now = 0.0
    trusted = AnIssuer(Caller("k"), issuer.url, "coalmine")
    tokens = OidcTokens((trusted,), monotonic=lambda: now)
    assert tokens.check(issuer.token()).name == "k:sa:ci"
    now = 20.0
    issuer.fetched.clear()
    issuer.away = True
    try:
        for number in range(5):
            with pytest.raises(CoalmineError, match=r"keys of .* cannot be read"):
                tokens.check(issuer.token(f"made-up-{number}"))
            assert tokens.check(issuer.token(n=number)).name == "k:sa:ci"
        assert len(issuer.fetched) == 1
    finally:
        issuer.away = False
    now = 31.0
    with pytest.raises(AccessError, match="no such key"):
        tokens.check(issuer.token("made-up"))
    assert tokens.check(issuer.token(n=9)).name == "k:sa:ci"


def test_an_issuer_that_is_away(tmp_path: Path, issuer: Issuer) -> None:
    access = guarded(tmp_path, issuer, ", jwks: 'http://127.0.0.1:1/keys'")
    with pytest.raises(CoalmineError, match=r"keys of .* cannot be read") as caught:
        admit(access, authorization=f"Bearer {issuer.token()}")
    assert caught.value.exit_code == 1


def test_no_secret_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    access = loaded(tmp_path, "tokens: [{name: ci, env: CI}]", CI=TOKEN)
    admit(access, authorization=f"Bearer {TOKEN}")
    assert TOKEN not in caplog.text + repr(access._tokens)
