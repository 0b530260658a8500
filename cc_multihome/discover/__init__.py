# SPDX-License-Identifier: Apache-2.0
"""Read what there is: metadata, links, netplan files, kernel."""
