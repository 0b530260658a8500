# SPDX-License-Identifier: Apache-2.0
"""A metadata tree that was read before means what a read means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cc_multihome.discover.imds import instance_from_tree, read_instance
from cc_multihome.errors import ImdsError
from tests.unit.imds_stub import MACS, PRIMARY, SECONDARY, Stub, eni_keys


def tree(**secondary: Any) -> dict[str, Any]:
    """Make a tree with two ENIs; `secondary` changes the second's keys."""
    keys: dict[str, Any] = {**eni_keys(1)}
    keys.update({k.replace("_", "-"): v for k, v in secondary.items()})
    return {
        "mac": PRIMARY,
        "instance-id": "i-0123456789abcdef0",
        "local-hostname": "ip-10-0-0-10.corp.example",
        "network": {
            "interfaces": {"macs": {PRIMARY: eni_keys(0), SECONDARY: keys}}
        },
    }


def test_a_tree_gives_the_same_as_the_service_that_it_came_from() -> None:
    """One parser for both."""
    stub = Stub()
    try:
        from_service = read_instance(base_urls=[stub.url])
    finally:
        stub.close()
    assert instance_from_tree(tree()) == from_service


def test_a_tree_survives_json() -> None:
    """A file is as good as a mapping."""
    text = json.dumps(tree())
    assert instance_from_tree(json.loads(text)) == instance_from_tree(tree())


def test_lists_of_lines_and_numbers_are_values_too() -> None:
    """cloud-init splits a value of several lines into a list."""
    other = tree(
        device_number=1,
        local_ipv4s=["10.0.1.10", "10.0.1.9"],
        vpc_ipv4_cidr_blocks=["10.0.0.0/16", "100.64.0.0/16"],
    )
    assert instance_from_tree(other) == instance_from_tree(tree())


def test_macs_may_have_the_listings_trailing_slash_and_any_case() -> None:
    """As they stand in a directory listing."""
    other = tree()
    macs = other["network"]["interfaces"]["macs"]
    macs[SECONDARY.upper() + "/"] = macs.pop(SECONDARY)
    assert instance_from_tree(other) == instance_from_tree(tree())


def test_an_efa_only_interface_in_a_tree_is_complete() -> None:
    """There is nothing to wait for in a tree."""
    other = tree()
    del other["network"]["interfaces"]["macs"][SECONDARY]["local-ipv4s"]
    assert instance_from_tree(other).enis[1].local_ipv4s == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device_number": "0"}, "device-number is 0 on network card 0"),
        ({"interface_id": ""}, "interface-id is empty"),
        ({"device_number": None}, "expected text, a number or a list"),
        ({"local_ipv4s": {"a": "b"}}, "local-ipv4s is {'a': 'b'}, expected"),
        ({"local_ipv4s": ["10.9.9.9"]}, "10.9.9.9 is not inside"),
    ],
)
def test_an_incomplete_record_in_a_tree_is_an_error(
    changes: dict[str, Any], reason: str
) -> None:
    """The same checks as for a read."""
    with pytest.raises(ImdsError) as caught:
        instance_from_tree(tree(**changes))
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("node", "seen"),
    [({}, "None"), ({"interfaces": {"macs": []}}, r"\[\]"), ("x", "None")],
)
def test_a_tree_without_enis_is_an_error(node: Any, seen: str) -> None:
    """An empty answer is never taken for "no ENIs"."""
    with pytest.raises(ImdsError, match=f"{MACS} is {seen}, expected a map"):
        instance_from_tree({**tree(), "network": node})


@pytest.mark.parametrize("key", ["mac", "instance-id"])
def test_a_tree_without_an_identity_is_an_error(key: str) -> None:
    """Whose tree it is has to be known."""
    other = tree()
    del other[key]
    with pytest.raises(ImdsError, match=f"{key} is None"):
        instance_from_tree(other)


def test_an_eni_that_is_no_mapping_is_an_error() -> None:
    """Not a crash."""
    other = tree()
    other["network"]["interfaces"]["macs"][SECONDARY] = "x"
    with pytest.raises(ImdsError, match="expected a mapping of keys"):
        instance_from_tree(other)
