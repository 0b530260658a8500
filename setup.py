# SPDX-License-Identifier: Apache-2.0
"""For setup.py's users: the metadata lives in pyproject.toml."""

from setuptools import setup

setup()
