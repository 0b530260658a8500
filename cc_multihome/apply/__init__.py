# SPDX-License-Identifier: Apache-2.0
"""Make the host what the plan says, prove it, or take it back."""
