# SPDX-License-Identifier: Apache-2.0
"""The version, for the package, the command and the .deb."""

__version__ = "0.1.0"
