# SPDX-License-Identifier: Apache-2.0
"""Why a packet goes the way it goes: by the plan, and by the kernel."""
