"""Prometheus, asked through prometheus-api-client.

The client is lenient where a gate must not be: it retries for seconds, has no time limit, follows
redirects to login pages, takes any JSON for an answer, drops warnings and rounds times to seconds.
So every response is checked here first, in a hook of the session, and times are sent exactly.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any, Self
from urllib.parse import urlsplit

import requests  # type: ignore[import-untyped, unused-ignore]
from prometheus_api_client import PrometheusConnect
from urllib3.util.retry import Retry

from coalmine._base.errors import InputError
from coalmine.metrics.access import Access, access_from_environment
from coalmine.metrics.protocol import BadQueryError, MetricsUnavailableError, Sample, Series

__all__ = ["PrometheusSource"]

logger = logging.getLogger(__name__)

REACH_FIX = "see that Prometheus runs there and that the URL is right"
Matrix = list[Mapping[str, Any]]


class PrometheusSource:
    """A ``MetricsSource`` over the HTTP API of Prometheus.

    Args:
        url: Base URL, ``http://`` or ``https://``.
        timeout: Seconds to wait for a connection, and then for each part of the answer.
        access: What to send and whom to trust; from the environment unless told.

    Raises:
        InputError: The URL is none, or what the environment says of the access is wrong.
    """

    def __init__(self, url: str, *, timeout: float = 10.0, access: Access | None = None) -> None:
        self._url, self._host = _checked_url(url)
        session = requests.Session()
        # A proxy from the environment can never reach our own loopback.
        session.trust_env = not _is_loopback(urlsplit(self._url).hostname or "")
        session.hooks["response"].append(self._check)
        _grant(session, access_from_environment() if access is None else access)
        self._client = PrometheusConnect(
            url=self._url,
            session=session,
            # With read=False a read that takes too long is told as that.
            retry=Retry(0, read=False),
            timeout=timeout,  # type: ignore[arg-type,unused-ignore]
        )

    def query_range(
        self, expression: str, *, start: datetime, end: datetime, step: timedelta
    ) -> tuple[Series, ...]:
        """Evaluate an expression at every step from start to end, both included.

        Raises:
            BadQueryError: The expression does not parse or gives no instant vector or scalar.
            MetricsUnavailableError: No proper answer came.
        """
        # The client rounds its own start and end to seconds; these override them.
        exact = {"start": f"{start.timestamp():.3f}", "end": f"{end.timestamp():.3f}"}
        try:
            result = self._client.custom_query_range(
                expression, start, end, f"{step.total_seconds():.3f}", params=exact
            )
        except requests.RequestException as error:
            raise MetricsUnavailableError(
                f"Prometheus at {self._host} does not answer: {_cause(error)}", fix=REACH_FIX
            ) from error
        return self._series(result)

    def close(self) -> None:
        """Give up the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self, response: requests.Response, *_: object, **__: object) -> None:
        if response.is_redirect:
            place = response.headers.get("location", "")
            response.close()
            raise MetricsUnavailableError(
                f"Prometheus at {self._host} redirects to {place}",
                fix="give the URL at which Prometheus itself answers",
            )
        body = self._body(response)
        if body.get("status") != "success" or response.status_code != requests.codes.ok:
            self._refuse(response, body)
        for warning in [*(body.get("warnings") or ()), *(body.get("infos") or ())]:
            logger.warning("Prometheus warns: %s", warning)
        data = body.get("data")
        if not isinstance(data, dict) or not isinstance(data.get("result"), list):
            raise self._improper("an answer without a result")

    def _body(self, response: requests.Response) -> dict[str, Any]:
        kind = response.headers.get("content-type", "no content type")
        told = f"HTTP status {response.status_code} and {kind}"
        try:
            body = response.json()
        except requests.JSONDecodeError:
            raise self._improper(f"{told}, not JSON") from None
        if not isinstance(body, dict):
            raise self._improper(f"{told}, not a JSON object")
        return body

    def _refuse(self, response: requests.Response, body: Mapping[str, Any]) -> None:
        kind, error = body.get("errorType"), body.get("error")
        if kind == "bad_data":
            raise BadQueryError(
                f"Prometheus refuses the query: {error}",
                fix="write a PromQL expression that gives an instant vector or a scalar",
            )
        raise MetricsUnavailableError(
            f"Prometheus at {self._host} could not answer: HTTP status {response.status_code}, "
            f"{kind or 'unknown error'}: {error or 'no reason given'}",
            fix=REACH_FIX,
        )

    def _series(self, result: Any) -> tuple[Series, ...]:  # noqa: ANN401 - what the wire brought
        try:
            return tuple(sorted((_one_series(entry) for entry in result), key=lambda s: s.labels))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._improper("a result that is no matrix") from None

    def _improper(self, what: str) -> MetricsUnavailableError:
        return MetricsUnavailableError(
            f"what answers at {self._host} is no Prometheus: it sent {what}", fix=REACH_FIX
        )


def _grant(session: requests.Session, access: Access) -> None:
    """Set what is sent with every request, and whom to trust."""
    session.cert = access.certificate
    session.verify = (access.ca_file or True) if access.verify else False
    if access.basic:
        user, password = (part.encode() for part in access.basic)
        session.auth = (user, password)
    if access.headers:
        session.headers.update(access.headers)
    if "Authorization" in access.headers:
        # As an auth of the session it stands; as a mere header ~/.netrc would replace it.
        session.auth = _unchanged


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _one_series(entry: Mapping[str, Any]) -> Series:
    labels = tuple(sorted((str(name), str(value)) for name, value in entry["metric"].items()))
    return Series(labels=labels, samples=tuple(_sample(*pair) for pair in entry["values"]))


def _sample(time: float, text: str) -> Sample:
    if not math.isfinite(float(time)) or not isinstance(text, str):
        raise ValueError(text)
    # Prometheus writes NaN, +Inf and -Inf as strings, which float() reads.
    return Sample(time=float(time), value=float(text))


def _checked_url(url: str) -> tuple[str, str]:
    fix = "give a URL such as http://127.0.0.1:9090"
    try:
        parts = urlsplit(url.strip().rstrip("/"))
        host = parts.hostname
        place = f"{host}:{parts.port}" if parts.port else host
    except ValueError:
        parts, host, place = urlsplit(""), None, None
    if parts.scheme not in {"http", "https"} or not host or not place:
        raise InputError(f"{url!r} is no URL of a Prometheus", field="prometheus_url", fix=fix)
    return parts.geturl(), place


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _cause(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.ConnectionError):
        return "the connection failed"
    return type(error).__name__
