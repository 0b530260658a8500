# SPDX-License-Identifier: Apache-2.0
"""Decide: bind the configuration to ENIs, derive the plan. Pure."""
