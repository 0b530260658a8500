# SPDX-License-Identifier: Apache-2.0
"""HTTP to the instance metadata service: IMDSv2, bounded in every way.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException

import requests
from urllib3.exceptions import HTTPError

from cc_multihome.discover.imds_bounded import Backoff, Deadline
from cc_multihome.discover.imds_connect import bounded_session, chain
from cc_multihome.discover.imds_parse import malformed, shortened
from cc_multihome.errors import ImdsError

LOG = logging.getLogger(__name__)

TOKEN_PATH = "/latest/api/token"
TREE_PATH = "/latest/meta-data/"
TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aws-ec2-metadata-token"
TOKEN_TTL_S = 600
MAX_VALUE_BYTES = 64 * 1024
CHUNK_BYTES = 8 * 1024
REMEDY = (
    "aws ec2 modify-instance-metadata-options --instance-id ID"
    " --http-endpoint enabled --http-put-response-hop-limit 2"
)

_TOKEN = re.compile(r"[!-~]{1,2048}")
_RETRY_AFTER = re.compile(r"[0-9]{1,6}")
_NO_TOKEN_HINT = (
    " If nothing answers the PUT although the service is up, the hop limit"
    f" may be too low (containers need 2) or the service is off: {REMEDY}"
)


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def is_transient(self) -> bool:
        return self.status == 429 or 500 <= self.status <= 599

    def retry_after_s(self) -> float:
        # The form with a date needs the right time, which a host that is
        # just booting may not have yet; it counts as "no time given".
        text = self.headers.get("Retry-After", "")
        return float(text) if _RETRY_AFTER.fullmatch(text) else 0.0


class MetadataSession:
    """A token and one kept-alive connection to the metadata service.

    Attributes:
        requests_sent: how many requests were made, retries included.
    """

    def __init__(
        self,
        base_urls: Sequence[str],
        deadline: Deadline,
        *,
        sources: Callable[[int], Iterable[str]],
        sleep: Callable[[float], None],
        connect_timeout_s: float,
        request_timeout_s: float,
        first_wait_s: float,
    ) -> None:
        self.requests_sent = 0
        self._base_urls = tuple(url.rstrip("/") for url in base_urls)
        self._base_index = 0
        self._deadline = deadline
        self._request_deadline = deadline
        self._sleep = sleep
        self._connect_timeout_s = connect_timeout_s
        self._request_timeout_s = request_timeout_s
        self._first_wait_s = first_wait_s
        self._token: str | None = None
        self._renewed = False
        self._http = bounded_session(
            lambda: self._request_deadline.remaining(), sources
        )

    def __enter__(self) -> MetadataSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def base_url(self) -> str:
        """The endpoint in use."""
        return self._base_urls[self._base_index]

    def open(self) -> None:
        """Get a token from the first endpoint that can be reached.

        Raises:
            ImdsError: none can be reached in time, or it refuses.
        """
        self._token = self._ask_for_token()

    def fetch(self, path: str) -> str | None:
        """Return the text below `/latest/meta-data/`, or None for a 404.

        Raises:
            ImdsError: anything else than a text or a 404, in time.
        """
        if self._token is None:
            self.open()
        while (answer := self._get(path)).status == 401:
            if self._renewed:
                raise ImdsError(
                    f"the metadata service refused GET {path} with status"
                    " 401 again after the token was renewed once; nothing"
                    " was changed"
                )
            self._renewed = True
            self.open()
        if answer.status == 404:
            return None
        return _text_of(path, self._accepted("GET", path, answer).body)

    def _get(self, path: str) -> _Answer:
        headers = {TOKEN_HEADER: self._token or ""}
        return self._request("GET", TREE_PATH + path, headers)

    def _ask_for_token(self) -> str:
        answer = self._request(
            "PUT", TOKEN_PATH, {TTL_HEADER: str(TOKEN_TTL_S)}
        )
        body = self._accepted("PUT", TOKEN_PATH, answer).body
        token = body.decode("ascii", "replace")
        if not _TOKEN.fullmatch(token):
            # Never the value itself: it is a secret if it is a token.
            raise ImdsError(
                f"PUT {TOKEN_PATH} answered {len(body)} bytes that are no"
                " token, expected printable ASCII without blanks"
            )
        return token

    def _accepted(self, method: str, path: str, answer: _Answer) -> _Answer:
        if answer.status == 200:
            return answer
        what = f"{self.base_url} answered {method} {path} with status"
        if answer.status == 403:
            raise ImdsError(
                f"{what} 403: metadata is switched off for this instance, or"
                " the token was refused (hop limit); nothing was changed."
                f" To allow it: {REMEDY}"
            )
        if 300 <= answer.status <= 399:
            target = shortened(answer.headers.get("Location", "nowhere"))
            raise ImdsError(
                f"{what} {answer.status}, a redirect to {target}, which IMDS"
                " never sends: something else answers at this address"
            )
        raise ImdsError(
            f"{what} {answer.status}, expected 200; nothing was changed"
        )

    def _request(
        self, method: str, path: str, headers: Mapping[str, str]
    ) -> _Answer:
        """Send it again and again until it is answered for good."""
        backoff = Backoff(self._deadline, self._sleep, self._first_wait_s)
        failures: dict[str, str] = {}
        while self._deadline.remaining() > 0:
            pause_s = 0.0
            try:
                answer = self._send(method, path, headers)
            except (requests.RequestException, HTTPError) as err:
                # What the end of the time cut short says less than what came
                # before it.
                if self._deadline.remaining() > 0:
                    failures[self.base_url] = _cause(err)
                failures.setdefault(self.base_url, _cause(err))
                LOG.debug("%s %s: %s", method, path, _cause(err))
                if self._moved_to_next_base_url():
                    continue
            else:
                if not answer.is_transient():
                    return answer
                pause_s = answer.retry_after_s()
                failures[self.base_url] = (
                    f"status {answer.status}, Retry-After {pause_s:.0f} s"
                )
            if not backoff.wait(pause_s):
                break
        raise self._gave_up(method, path, failures)

    def _moved_to_next_base_url(self) -> bool:
        """Whether there is another endpoint to try before the next pause."""
        if self._token is not None:
            return False
        self._base_index = (self._base_index + 1) % len(self._base_urls)
        return self._base_index != 0

    def _gave_up(
        self, method: str, path: str, failures: Mapping[str, str]
    ) -> ImdsError:
        seen = "; ".join(f"{url}: {why}" for url, why in failures.items())
        hint = _NO_TOKEN_HINT if self._token is None else ""
        return ImdsError(
            f"the metadata service gave no answer to {method} {path} within"
            f" {self._deadline.seconds:.3g} s for the whole read"
            f" ({self.requests_sent} requests; last seen:"
            f" {seen or 'nothing'}); nothing was changed.{hint}"
        )

    def _send(
        self, method: str, path: str, headers: Mapping[str, str]
    ) -> _Answer:
        self.requests_sent += 1
        limit = self._deadline.sooner(self._request_timeout_s)
        self._request_deadline = limit
        # urllib3 refuses a timeout of 0, and this may be the last instant.
        left_s = max(limit.remaining(), 0.001)
        with self._http.request(
            method,
            self.base_url + path,
            headers=dict(headers),
            timeout=(min(self._connect_timeout_s, left_s), left_s),
            allow_redirects=False,
            stream=True,
        ) as response:
            body = _read_body(path, response)
        took_s = limit.seconds - limit.remaining()
        LOG.debug(
            "%s %s: %d, %.0f ms",
            method,
            path,
            response.status_code,
            1000 * took_s,
        )
        return _Answer(response.status_code, response.headers, body)


def _read_body(path: str, response: requests.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_VALUE_BYTES:
            raise ImdsError(
                f"the answer for {path} is longer than {MAX_VALUE_BYTES}"
                " bytes, which no metadata value is; nothing was changed"
            )
    declared = response.headers.get("Content-Length", "")
    # urllib3 before 2 takes a body that was cut off for a whole one.
    if declared.isdigit() and int(declared) != len(body):
        raise requests.ConnectionError(
            f"the body ended after {len(body)} of {declared} bytes"
        )
    return bytes(body)


def _text_of(path: str, body: bytes) -> str:
    try:
        return body.decode("ascii")
    except UnicodeDecodeError as err:
        raise malformed(path, body, "ASCII text") from err


def _cause(error: BaseException) -> str:
    """Name an error by its kind and by what the system said at its root."""
    root = error
    for deeper in chain(error):
        # urllib3 before 2 probes with a TypeError that means nothing.
        if isinstance(deeper, (OSError, HTTPException)):
            root = deeper
    return f"{type(error).__name__} ({shortened(str(root))})"
