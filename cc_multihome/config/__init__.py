# SPDX-License-Identifier: Apache-2.0
"""The `multihome` key: its schema, its checks, its values."""
