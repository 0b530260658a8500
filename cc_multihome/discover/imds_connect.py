# SPDX-License-Identifier: Apache-2.0
"""Connections to the metadata service, also where main has no default route.

The service answers on every ENI. Unbound, a packet to it goes by the default
route, and with the ENI that holds that, it is gone. From the address of
another ENI it goes by that ENI's own table.
"""

from __future__ import annotations

import errno
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError

from cc_multihome.discover.imds_bounded import BoundedSocket
from cc_multihome.version import __version__

LOG = logging.getLogger(__name__)

# connect(2), ip(7): no route at all, and a next hop that does not answer.
NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH)


def bounded_session(
    remaining: Callable[[], float],
    sources: Callable[[int], Iterable[str]],
) -> requests.Session:
    """Make a session whose every read ends when `remaining()` is 0.

    Args:
        sources: returns the host's addresses of an IP version; connections
            are bound to one of them where there is no way without.
    """
    # The next request goes on where the time of one ran out.
    failures: Counter[str] = Counter()

    class Connection(HTTPConnection):
        def connect(self) -> None:
            # Also when it connects again: what was bound may be gone.
            self.source_address = None
            try:
                self._connect()
            except NewConnectionError as err:
                if not has_no_way(err) or not self._connect_from_any():
                    raise
            self.sock = BoundedSocket.of(self.sock, remaining)

        def _connect(self) -> None:
            super().connect()  # type: ignore[no-untyped-call]  # 1.26's stubs

        def _connect_from_any(self) -> bool:
            known = sources(_version_of(self.host))
            for source in sorted(known, key=failures.__getitem__):
                left_s = remaining()
                if left_s <= 0:
                    break
                self.timeout = min(float(self.timeout or left_s), left_s)
                self.source_address = (source, 0)
                try:
                    self._connect()
                except HTTPError as err:
                    LOG.debug("%s from %s: %s", self.host, source, err)
                    failures[source] += 1
                    continue
                LOG.info("no way to %s; asked from %s", self.host, source)
                return True
            return False

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0)
    adapter.poolmanager.pool_classes_by_scheme = {"http": Pool}
    session = requests.Session()
    # Neither proxies nor .netrc: the service is on the link, and a proxy
    # would be given the token.
    session.trust_env = False
    # Even with allow_redirects=False requests reads the whole body of a
    # redirect, and stumbles over a target that is no URL.
    session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]
    session.mount("http://", adapter)
    session.headers["User-Agent"] = f"cc_multihome/{__version__}"
    session.headers["Accept-Encoding"] = "identity"
    return session


def _version_of(host: str) -> int:
    return ip_address(host.strip("[]")).version


def has_no_way(error: BaseException) -> bool:
    """Say whether the kernel knew no way to where it was to connect."""
    return any(
        isinstance(each, OSError) and each.errno in NO_WAY
        for each in chain(error)
    )


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from, outermost first."""
    deeper: BaseException | None = error
    while deeper is not None:
        yield deeper
        deeper = deeper.__cause__ or deeper.__context__
