# SPDX-License-Identifier: Apache-2.0
"""Tie the module into the installed cloud-init."""
