# SPDX-License-Identifier: Apache-2.0
"""All packaging metadata lives in pyproject.toml; this file keeps setup.py's users working."""

from setuptools import setup

setup()
