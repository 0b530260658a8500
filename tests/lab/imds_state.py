# SPDX-License-Identifier: Apache-2.0
"""What the stand-in for EC2's metadata service serves, and how it fails.

The state file is JSON, read again when it changes:
    tree        nested objects with strings for leaves, below /latest/
                ("meta-data", "dynamic"); imds_tree.py makes it from a Shape
    user_data   a string, or null for none
    v1          true: no token needed
    faults      a list; the first that matches a request is done to it:
        kind    status | delay | hang | close | garbage | truncate | endless
        prefix  of the path ("/" when left out, which is every path)
        path    the whole path, for no other one; any when left out
        method  GET or PUT; both when left out
        times   how many requests it is done to; all when left out
        status, body, headers   for kind status (500, "injected", none)
        delay_s seconds, for delay (then answered as usual) and endless
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

VERSIONS = (
    *("1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10"),
    *("2007-12-15", "2008-02-01", "2008-09-01", "2009-04-04", "2011-01-01"),
    *("2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20"),
    *("2016-04-19", "2016-06-30", "2016-09-02", "2018-03-28", "2018-08-17"),
    *("2018-09-24", "2019-10-01", "2020-10-27", "2021-01-03", "2021-03-23"),
    *("2021-07-15", "2022-07-09", "2022-09-24", "2024-04-11", "latest"),
)
KINDS = ("status", "delay", "hang", "close", "garbage", "truncate", "endless")


class State:
    """The state file as last read, and the faults that are used up."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp = (0, 0)
        self._used: dict[str, int] = {}
        self.content: dict[str, Any] = {}
        self.tokens: dict[str, float] = {}
        self.reload()

    def reload(self) -> None:
        """Read the file if it changed.

        Raises:
            ValueError: it is no JSON, or a fault has an unknown kind.
        """
        with self._lock:
            status = os.stat(self._path)
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp == self._stamp:
                return
            content = json.loads(self._path.read_text())
            faults = content.get("faults") or []
            for fault in faults:
                if fault.get("kind") not in KINDS:
                    raise ValueError(f"fault {fault}: kind is one of {KINDS}")
            names = {json.dumps(fault) for fault in faults}
            # A fault that was taken out and put in again starts anew.
            self._used = {
                name: used
                for name, used in self._used.items()
                if name in names
            }
            self.content, self._stamp = content, stamp

    def find_fault(self, method: str, path: str) -> dict[str, Any] | None:
        """Return the fault for this request, and count it as used."""
        with self._lock:
            for fault in self.content.get("faults") or []:
                name = json.dumps(fault)
                used = self._used.get(name, 0)
                if (
                    path.startswith(fault.get("prefix", "/"))
                    and fault.get("path") in (None, path)
                    and fault.get("method") in (None, method)
                    and used < fault.get("times", used + 1)
                ):
                    self._used[name] = used + 1
                    found: dict[str, Any] = fault
                    return found
        return None

    def find(self, path: str) -> str | None:
        """Return the document at a path, or None."""
        parts = [part for part in path.split("?")[0].split("/") if part]
        if not parts:
            return "\n".join(VERSIONS)
        if parts[0] not in VERSIONS:
            return None
        node: Any = dict(self.content.get("tree") or {})
        if self.content.get("user_data") is not None:
            node["user-data"] = self.content["user_data"]
        for part in parts[1:]:
            if not isinstance(node, dict) or part not in node:
                return None
            node = node[part]
        return list_keys(parts[-1], node) if isinstance(node, dict) else node


def list_keys(name: str, node: dict[str, Any]) -> str:
    """Return a directory as IMDS lists it."""
    if name == "public-keys":  # the one listing that is not of keys
        return "\n".join(f"{key}=lab-key" for key in node)
    return "\n".join(
        sorted(
            key + ("/" if isinstance(item, dict) else "")
            for key, item in node.items()
        )
    )
