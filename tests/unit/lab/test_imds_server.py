# SPDX-License-Identifier: Apache-2.0
"""The stand-in for IMDS serves what EC2 does, and fails as it is told."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.lab.imds_server import TOKEN, TTL, ImdsServer
from tests.lab.imds_tree import MACS, imds_tree
from tests.lab.shape import SEED

PRIVATE, PUBLIC = SEED.enis


@dataclass(frozen=True)
class Imds:
    """A running server and its files."""

    server: ImdsServer
    state: Path
    log: Path

    def set(self, **content: Any) -> None:
        """Write the state file; the tree is the seed's if none is given."""
        tree = imds_tree(SEED, public_key="ssh-ed25519 AAAA lab")
        self.state.write_text(json.dumps({"tree": tree, **content}))

    def ask(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        timeout: float = 5.0,
    ) -> tuple[int, str]:
        """Return (status, body) of one request on a connection of its own."""
        host, port = self.server.server_address[:2]
        asker = http.client.HTTPConnection(str(host), port, timeout=timeout)
        try:
            asker.request(method, path, headers=headers or {})
            answer = asker.getresponse()
            return answer.status, answer.read().decode()
        finally:
            asker.close()

    def put(self, headers: Mapping[str, str]) -> tuple[int, str]:
        """Ask for a token."""
        return self.ask("/latest/api/token", headers, method="PUT")

    def token(self) -> str:
        """Return a token."""
        status, body = self.put({TTL: "60"})
        assert status == 200
        return body

    def get(self, path: str) -> tuple[int, str]:
        """Return (status, body) of a GET with a token."""
        return self.ask(path, {TOKEN: self.token()})

    def requests(self) -> list[dict[str, Any]]:
        """Return what was logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def imds(tmp_path: Path) -> Iterator[Imds]:
    """Give a server with the seed's content."""
    state, log = tmp_path / "imds.json", tmp_path / "imds.jsonl"
    state.write_text("{}")
    with ImdsServer(state, log, ("127.0.0.1", 0)) as server:
        imds = Imds(server, state, log)
        imds.set()
        yield imds


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/latest/meta-data/instance-id", SEED.instance_id),
        ("/2021-03-23/meta-data/mac", PRIVATE.mac),
        ("/latest/meta-data/local-hostname", "ip-10-224-184-51.ec2.internal"),
        (MACS, f"{PRIVATE.mac}/\n{PUBLIC.mac}/"),
        (f"{MACS}{PUBLIC.mac}/device-number", "1"),
        (f"{MACS}{PUBLIC.mac}/public-ipv4s", "198.51.100.177"),
        (f"{MACS}{PUBLIC.mac}/ipv4-associations/198.51.100.177",
         "10.224.186.43"),
        ("/latest/meta-data/public-keys/", "0=lab-key"),
        ("/latest/meta-data/public-keys/0/openssh-key",
         "ssh-ed25519 AAAA lab"),
    ],
)  # fmt: skip
def test_documents_are_as_on_ec2(imds: Imds, path: str, expected: str) -> None:
    """Keys, listings and every version's tree."""
    assert imds.get(path) == (200, expected)


@pytest.mark.parametrize(
    "path",
    [
        f"{MACS}{PRIVATE.mac}/public-ipv4s",
        f"{MACS}{PRIVATE.mac}/ipv6s",
        "/latest/user-data",
        "/1999-01-01/meta-data/",
        "/latest/meta-data/mac/more",
    ],
)
def test_what_is_not_there_is_404(imds: Imds, path: str) -> None:
    """Also below a document, and for a version that never was."""
    assert imds.get(path)[0] == 404


def test_a_token_is_needed_unless_v1_is_on(imds: Imds) -> None:
    """No token or a wrong one is 401; the token's own rules are checked."""
    path = "/latest/meta-data/mac"
    assert imds.ask(path)[0] == 401
    assert imds.ask(path, {TOKEN: "wrong"})[0] == 401
    assert imds.put({})[0] == 400
    assert imds.put({TTL: "21601"})[0] == 400
    proxied = {TTL: "60", "X-Forwarded-For": "192.0.2.1"}
    assert imds.put(proxied)[0] == 403
    imds.set(v1=True)
    assert imds.ask(path) == (200, PRIVATE.mac)


def test_the_file_is_read_again_when_it_changes(imds: Imds) -> None:
    """User-data comes and goes, an ENI is attached."""
    imds.set(user_data="#cloud-config\n")
    assert imds.get("/2021-03-23/user-data/") == (200, "#cloud-config\n")
    third = replace(PUBLIC, mac="0a:00:00:00:00:0c", device_number=2)
    shape = replace(SEED, enis=(*SEED.enis, third))
    imds.set(tree=imds_tree(shape))
    assert "0a:00:00:00:00:0c/" in imds.get(MACS)[1].split("\n")
    assert imds.get("/latest/user-data")[0] == 404


def test_a_shape_can_add_and_remove_keys(imds: Imds) -> None:
    """LabEni.imds: a string is put there, None takes the key away."""
    odd = replace(PUBLIC, imds={"device-number": None, "network-card": "1"})
    imds.set(tree=imds_tree(replace(SEED, enis=(PRIVATE, odd))))
    assert imds.get(f"{MACS}{PUBLIC.mac}/device-number")[0] == 404
    assert imds.get(f"{MACS}{PUBLIC.mac}/network-card") == (200, "1")


def test_a_wrong_state_file_is_said(imds: Imds) -> None:
    """A test that writes nonsense must not see the old content."""
    imds.state.write_text("{")
    assert imds.ask("/latest/")[0] == 500
    imds.set(faults=[{"kind": "explode"}])
    status, body = imds.ask("/latest/")
    assert (status, "kind is one of" in body) == (500, True)


def test_a_fault_hits_a_prefix_a_method_and_so_many_times(imds: Imds) -> None:
    """Then all is well; put in again it starts anew."""
    fault = {"kind": "status", "status": 503, "prefix": MACS,
             "method": "GET", "times": 2}  # fmt: skip
    for _ in range(2):
        imds.set(faults=[fault])
        seen = [imds.get(MACS)[0] for _ in range(3)]
        assert seen == [503, 503, 200]
        assert imds.get("/latest/meta-data/mac")[0] == 200
        imds.set(faults=[])
        assert imds.get(MACS)[0] == 200


def test_a_status_can_bear_a_body_and_headers(imds: Imds) -> None:
    """So a redirect or a Retry-After is one fault too."""
    there = {"Location": "http://192.0.2.1/"}
    fault = {"kind": "status", "status": 302, "body": "x", "headers": there}
    imds.set(faults=[fault])
    assert imds.ask("/latest/") == (302, "x")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("close", http.client.RemoteDisconnected),
        ("garbage", http.client.BadStatusLine),
        ("truncate", http.client.IncompleteRead),
        ("hang", TimeoutError),
    ],
)
def test_connections_fail(
    imds: Imds, kind: str, error: type[Exception]
) -> None:
    """Each kind is what a client sees of it; the log names it."""
    imds.set(faults=[{"kind": kind}])
    with pytest.raises(error):
        imds.ask("/latest/", timeout=0.5)
    assert [item["fault"] for item in imds.requests()] == [kind]


@pytest.mark.parametrize("delay_s", [0.0, 0.05])
def test_a_body_can_be_endless(imds: Imds, delay_s: float) -> None:
    """Fast or in drips: it only ends when the client goes."""
    imds.set(faults=[{"kind": "endless", "delay_s": delay_s}])
    host, port = imds.server.server_address[:2]
    asker = http.client.HTTPConnection(str(host), port, timeout=5)
    asker.request("GET", "/latest/")
    answer = asker.getresponse()
    assert answer.getheader("Content-Length") is None
    size = 5 if delay_s else 10**6
    assert len(answer.read(size)) == size
    answer.close()
    asker.close()


def test_an_answer_can_be_late(imds: Imds) -> None:
    """A delay is waited for, then the answer is the usual one."""
    imds.set(v1=True, faults=[{"kind": "delay", "delay_s": 0.3}])
    start = time.monotonic()
    assert imds.ask("/latest/meta-data/mac") == (200, PRIVATE.mac)
    assert time.monotonic() - start >= 0.3


def test_each_request_is_logged(imds: Imds) -> None:
    """Method, path, status, whether it had a token, who asked."""
    imds.get("/latest/meta-data/mac")
    put, get = imds.requests()
    assert (put["method"], put["path"]) == ("PUT", "/latest/api/token")
    assert (get["status"], get["token"], get["src"]) == (
        200,
        True,
        "127.0.0.1",
    )


def test_one_service_answers_on_both_families(imds: Imds) -> None:
    """A token of one is good at the other, and faults count together."""
    try:
        six = ImdsServer(imds.server.state, imds.log, ("::1", 0))
    except OSError:
        pytest.skip("no IPv6 on loopback")
    imds.set(faults=[{"kind": "status", "prefix": MACS, "times": 1}])
    token = imds.token()
    with six:
        assert six.url.startswith("http://[::1]:")
        other = Imds(six, imds.state, imds.log)
        assert (200, PRIVATE.mac) == other.ask(
            "/latest/meta-data/mac", {TOKEN: token}
        )
        assert 500 == other.ask(MACS, {TOKEN: token})[0]
    assert 200 == imds.ask(MACS, {TOKEN: token})[0]
    assert ["127.0.0.1", "::1", "::1", "127.0.0.1"] == [
        item["src"] for item in imds.requests()
    ]
