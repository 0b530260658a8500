# SPDX-License-Identifier: Apache-2.0
"""Try out in cloud-init's own Python what would fail at boot otherwise.

An error while cloud-init imports a module or holds user-data against its
schema ends the whole stage, with what else is in it: users, keys, the lot. And
cloud-init has changed jsonschema's validator, so its own code is asked.
"""

from __future__ import annotations

import json
from pathlib import Path

from cc_multihome.run import run

KEY = "multihome"
PYTHON = "/usr/bin/python3"

# Every part of the schema is used by one of the samples.
RIGHT_SAMPLES: tuple[object, ...] = (
    {},
    {"hostname": "host"},
    {KEY: None},
    {KEY: True},
    {KEY: {}},
    {
        KEY: {
            "interfaces": {
                "private": {"device_number": 0, "table": 10},
                "public": {"subnet": "192.0.2.0/24", "rename": False},
                "storage": {"network_card": 1, "subnet_id": "subnet-0123"},
                "left": {"eni_id": "eni-0123", "manage": False},
            },
            "default": "public",
            "policy": [
                {"to": ["192.0.2.14", "198.51.100.0/24"], "via": "private"},
                {"to": "2001:db8::/32", "via": "private"},
                {"to": ["vpc", "rfc1918"], "via": "private"},
                {"to": "vpc", "via": "private"},
            ],
            "honor_main_routes": True,
            "containers": True,
            "users": {"_chrony": "private"},
            "services": {"puppet.service": "private"},
            "resolver": {"nameservers": ["192.0.2.53"], "search": []},
            "rename": True,
        }
    },
    {KEY: {"resolver": "keep"}},
)
WRONG_SAMPLES: tuple[object, ...] = (
    {KEY: "yes"},
    {KEY: {"no-such-key": 1}},
    {KEY: {"interfaces": ["private"]}},
    {KEY: {"interfaces": {"private": {"device_number": "zero"}}}},
    {KEY: {"interfaces": {"private": {"table": 0, "mac": 1}, "x": {}}}},
    {KEY: {"default": 1, "rename": "no"}},
    {KEY: {"policy": [{"to": [], "via": 1}, {"to": "192.0.2.14"}]}},
    {KEY: {"users": ["_chrony"]}},
    {KEY: {"containers": "docker0", "honor_main_routes": 1}},
    {KEY: {"users": {"_chrony": 1}}},
    {KEY: {"services": ["puppet.service"]}},
    {KEY: {"services": {"puppet.service": 1}}},
    {KEY: {"resolver": "none"}},
    {KEY: {"resolver": {"nameservers": []}}},
)
# Not from the directory that this happens to run in.
IMPORT = """
import sys
sys.path.remove("")
import cc_multihome
cc_multihome.handle
"""
TRIAL = """
import json, sys
from cloudinit.config import schema as judge
document = json.load(open(sys.argv[1], encoding="utf-8"))
def is_right(sample):
    try:
        judge.validate_cloudconfig_schema(sample, document, strict=True)
    except judge.SchemaValidationError:
        return False
    return True
for expected, samples in ((True, sys.argv[2]), (False, sys.argv[3])):
    for sample in json.loads(samples):
        if is_right(sample) != expected:
            sys.exit(f"{sample} should be judged {expected}")
"""


def try_out(root: Path, schema: Path) -> None:
    """Let the cloud-init below root judge every sample by a schema.

    Args:
        root: of the system whose cloud-init and Python are asked.
        schema: the file, as that system sees it.

    Raises:
        CommandError: it fails, or judges one of them wrongly.
    """
    samples = (json.dumps(RIGHT_SAMPLES), json.dumps(WRONG_SAMPLES))
    _run_python(root, TRIAL, str(schema), *samples)


def try_import(root: Path) -> None:
    """Import the module as the cloud-init below root will.

    Raises:
        CommandError: that fails.
    """
    _run_python(root, IMPORT)


def _run_python(root: Path, code: str, *args: str) -> None:
    """Run code in the Python that cloud-init of that system runs in."""
    entered = [] if root == Path("/") else ["chroot", str(root)]
    run([*entered, PYTHON, "-c", code, *args])
