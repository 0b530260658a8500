# SPDX-License-Identifier: Apache-2.0
"""Read from the instance metadata service (IMDSv2) what the plan needs.

Every ENI's listing is read first, then only the keys that it lists and that
are needed. So a key that is not listed is absent, while a 404 on a listed
key means that the metadata is not ready, and is asked for again. An
incomplete read raises: it never returns fewer ENIs or addresses.

Requests for N ENIs that list k of `ENI_KEYS` each, when nothing fails:
1 token + 3 top-level keys + 2 listings of `macs/` + N * (1 + k), all over one
connection. An ENI with IPv4 lists 7 of them: 22 requests for two ENIs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cc_multihome.discover.imds_bounded import Backoff, Deadline
from cc_multihome.discover.imds_glance import is_unchanged
from cc_multihome.discover.imds_http import MetadataSession
from cc_multihome.discover.imds_parse import (
    ENI_KEYS,
    MACS,
    Identity,
    NotReadyError,
    check_together,
    parse_eni,
    parse_identity,
    parse_mac,
)
from cc_multihome.discover.imds_tree import instance_from_tree
from cc_multihome.discover.links import read_addresses
from cc_multihome.errors import ImdsError
from cc_multihome.model import Eni, Instance

__all__ = ["instance_from_tree", "read_instance"]

LOG = logging.getLogger(__name__)

# The IPv6 endpoint exists on Nitro instances where it was enabled:
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
BASE_URLS = ("http://169.254.169.254", "http://[fd00:ec2::254]")
DEADLINE_S = 60.0
PROPAGATION_S = 30.0
SETTLE_S = 5.0
CONNECT_TIMEOUT_S = 2.0
REQUEST_TIMEOUT_S = 5.0
FIRST_WAIT_S = 0.2


def read_instance(
    *,
    seen: Instance | None = None,
    base_urls: Sequence[str] = BASE_URLS,
    sources: Callable[[int], Iterable[str]] = read_addresses,
    deadline_s: float = DEADLINE_S,
    propagation_s: float = PROPAGATION_S,
    settle_s: float = SETTLE_S,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    request_timeout_s: float = REQUEST_TIMEOUT_S,
    first_wait_s: float = FIRST_WAIT_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Instance:
    """Read the instance and all its ENIs, or raise; all times in seconds.

    Args:
        seen: what was read before; returned where it still holds, which is
            asked for in fewer requests.
        base_urls: tried in this order until one answers at all.
        sources: returns the host's addresses of an IP version, to ask from
            where the kernel has no way without one.
        deadline_s: for the whole read, whatever the server does.
        propagation_s: how long metadata that is not ready is waited for.
        settle_s: how long an ENI without any address is taken for one that
            is not ready; after that it is an EFA-only interface.
        first_wait_s: the first pause before a retry; each next one doubles.

    Raises:
        ImdsError: no complete answer, a refusal, or a malformed value.
    """
    started = clock()
    deadline = Deadline.after(deadline_s, clock)
    session = MetadataSession(
        base_urls,
        deadline,
        sources=sources,
        sleep=sleep,
        connect_timeout_s=connect_timeout_s,
        request_timeout_s=request_timeout_s,
        first_wait_s=first_wait_s,
    )
    with session:
        session.open()
        if seen is not None and is_unchanged(session.fetch, seen):
            LOG.info(
                "the metadata is as before: %d requests, %.2f s",
                session.requests_sent,
                clock() - started,
            )
            return seen
        # Counted from the first answer: waiting for the service to be
        # reachable does not use up the time that the metadata may take.
        propagation = deadline.sooner(propagation_s)
        reader = _Reader(
            session.fetch,
            settled=deadline.sooner(min(settle_s, propagation_s)),
        )
        instance = _until_ready(
            reader, Backoff(propagation, sleep, first_wait_s), propagation
        )
    LOG.info(
        "read %d ENIs of %s from %s: %d requests, %.2f s",
        len(instance.enis),
        instance.instance_id,
        session.base_url,
        session.requests_sent,
        clock() - started,
    )
    return instance


def _until_ready(
    reader: _Reader, backoff: Backoff, propagation: Deadline
) -> Instance:
    while True:
        try:
            return reader.read()
        except NotReadyError as err:
            LOG.debug("the metadata is not ready: %s", err)
            if not backoff.wait():
                raise ImdsError(
                    "the metadata service's answers are still not complete"
                    f" after {propagation.seconds:.3g} s: {err};"
                    " nothing was changed. Is an ENI being attached or"
                    " detached? Run this again when that is done"
                ) from err


@dataclass
class _Reader:
    """One read, which keeps what was complete when it is repeated."""

    fetch: Callable[[str], str | None]
    settled: Deadline
    identity: Identity | None = None
    complete: dict[str, Eni] = field(default_factory=dict)

    def read(self) -> Instance:
        if self.identity is None:
            self.identity = self._read_identity()
        identity = self.identity
        macs = self._list_macs()
        self._read_enis(macs, identity)
        try:
            enis = check_together(self.complete.values(), identity.mac)
            if self._list_macs() != macs:
                raise NotReadyError(f"{MACS} changed while it was read")
        except NotReadyError:
            # What contradicts the rest is not known, so nothing is kept.
            self.complete.clear()
            raise
        return Instance(identity.instance_id, identity.search, enis)

    def _read_identity(self) -> Identity:
        return parse_identity(
            mac=self._required("mac"),
            instance_id=self._required("instance-id"),
            # Not behind a listing: asking outright saves one request.
            local_hostname=self.fetch("local-hostname"),
        )

    def _list_macs(self) -> dict[str, str]:
        """Return lower-case MAC -> path of its record, sorted by MAC."""
        names = sorted(self._required(MACS).split())
        return {parse_mac(MACS, name): MACS + name for name in names}

    def _read_enis(self, macs: dict[str, str], identity: Identity) -> None:
        for gone in self.complete.keys() - macs.keys():
            del self.complete[gone]
        for mac, path in macs.items():
            if mac not in self.complete:
                self.complete[mac] = self._read_eni(mac, path, identity)

    def _read_eni(self, mac: str, path: str, identity: Identity) -> Eni:
        base = path.rstrip("/") + "/"
        listing = self._required(base).split()
        keys = {
            key: self._required(base + key)
            for key in ENI_KEYS
            if key in listing
        }
        eni = parse_eni(mac, keys, primary_mac=identity.mac)
        if not (eni.local_ipv4s or eni.ipv6s):
            if self.settled.remaining() > 0:
                raise NotReadyError(f"{eni.describe()} lists no address yet")
            LOG.info("%s has no address (EFA-only?)", eni.describe())
        return eni

    def _required(self, path: str) -> str:
        text = self.fetch(path)
        if text is None:
            raise NotReadyError(f"{path} answers 404")
        return text
