"""Prometheus, asked over its HTTP API (prometheus.io/docs/prometheus/latest/querying/api).

What answers may be anything: a login page, a proxy's error, half of a body. Whatever is no proper
answer is told as that, in one of two errors: the question is wrong, or asking again may help.
"""

from __future__ import annotations

import json
import logging
import math
import ssl
from collections.abc import Mapping
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from coalmine._base.errors import InputError
from coalmine.metrics.access import Access, access_from_environment
from coalmine.metrics.client import MOST_BYTES, Client, Response, TooLargeError
from coalmine.metrics.protocol import BadQueryError, MetricsUnavailableError, Sample, Series

__all__ = ["PrometheusSource"]

logger = logging.getLogger(__name__)

REACH_FIX = "see that Prometheus runs there and that the URL is right"


class PrometheusSource:
    """A ``MetricsSource`` over the HTTP API of Prometheus; several threads can share one.

    Args:
        url: Base URL, ``http://`` or ``https://``.
        timeout: Seconds to wait for a whole answer.
        access: What to send and whom to trust; from the environment unless told.
        connections: How many queries are under way at once at most.

    Raises:
        InputError: The URL is none, or what the environment says of the access is wrong.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 10.0,
        access: Access | None = None,
        connections: int = 8,
    ) -> None:
        self._url, self._host = _checked_url(url)
        self._api = httpx.URL(f"{self._url}/api/v1/query_range")
        self._client = Client(
            access_from_environment() if access is None else access,
            timeout=timeout,
            connections=connections,
            # A proxy from the environment can never reach our own loopback.
            proxies=not _is_loopback(urlsplit(self._url).hostname or ""),
            secure=self._url.startswith("https:"),
        )

    def query_range(
        self, expression: str, *, start: datetime, end: datetime, step: timedelta
    ) -> tuple[Series, ...]:
        """Evaluate an expression at every step from start to end, both included.

        Raises:
            BadQueryError: The expression does not parse or gives no instant vector or scalar.
            MetricsUnavailableError: No proper answer came.
        """
        params = {
            "query": expression,
            "start": f"{start.timestamp():.3f}",
            "end": f"{end.timestamp():.3f}",
            "step": f"{step.total_seconds():.3f}",
        }
        return self._series(self._result(self._ask(params)))

    def close(self) -> None:
        """Give up the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, params: Mapping[str, str]) -> Response:
        try:
            response = self._client.get(self._api, params)
        except TooLargeError:
            raise self._improper(f"more than {MOST_BYTES} bytes") from None
        except httpx.DecodingError:
            raise self._improper("a body that cannot be decoded") from None
        # With TLS 1.3 a refused certificate of ours shows only when the answer is read.
        except (OSError, httpx.HTTPError) as error:
            raise MetricsUnavailableError(
                f"Prometheus at {self._host} does not answer: {_cause(error)}", fix=REACH_FIX
            ) from error
        if response.location:
            raise MetricsUnavailableError(
                f"Prometheus at {self._host} redirects to {response.location}",
                fix="give the URL at which Prometheus itself answers",
            )
        return response

    def _result(self, response: Response) -> list[Any]:
        body = self._body(response)
        if body.get("status") != "success" or response.status != httpx.codes.OK:
            self._refuse(response, body)
        for warning in [*(body.get("warnings") or ()), *(body.get("infos") or ())]:
            logger.warning("Prometheus warns: %s", warning)
        data = body.get("data")
        if not isinstance(data, dict) or not isinstance(data.get("result"), list):
            raise self._improper("an answer without a result")
        result: list[Any] = data["result"]
        return result

    def _body(self, response: Response) -> dict[str, Any]:
        told = f"HTTP status {response.status} and {response.kind}"
        try:
            body = json.loads(response.body)
        except (ValueError, RecursionError):
            raise self._improper(f"{told}, not JSON") from None
        if not isinstance(body, dict):
            raise self._improper(f"{told}, not a JSON object")
        return body

    def _refuse(self, response: Response, body: Mapping[str, Any]) -> None:
        kind, error = body.get("errorType"), body.get("error")
        if kind == "bad_data":
            raise BadQueryError(
                f"Prometheus refuses the query: {error}",
                fix="write a PromQL expression that gives an instant vector or a scalar",
            )
        raise MetricsUnavailableError(
            f"Prometheus at {self._host} could not answer: HTTP status {response.status}, "
            f"{kind or 'unknown error'}: {error or 'no reason given'}",
            fix=REACH_FIX,
        )

    def _series(self, result: list[Any]) -> tuple[Series, ...]:
        try:
            return tuple(sorted((_one_series(entry) for entry in result), key=lambda s: s.labels))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise self._improper("a result that is no matrix") from None

    def _improper(self, what: str) -> MetricsUnavailableError:
        return MetricsUnavailableError(
            f"what answers at {self._host} is no Prometheus: it sent {what}", fix=REACH_FIX
        )


def _one_series(entry: Mapping[str, Any]) -> Series:
    if "histograms" in entry:
        raise BadQueryError(
            "the query gives native histograms, not numbers",
            fix="take a number of them, for example with histogram_quantile()",
        )
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
        httpx.URL(parts.geturl())
    except (ValueError, httpx.InvalidURL):
        parts, host, place = urlsplit(""), None, None
    if parts.scheme not in {"http", "https"} or not host or not place:
        raise InputError(f"{url!r} is no URL of a Prometheus", field="prometheus_url", fix=fix)
    return parts.geturl(), place


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _cause(error: Exception) -> str:
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "no answer in time"
    if _is_distrust(error):
        return "its certificate is not trusted"
    return "the connection failed"


def _is_distrust(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None
