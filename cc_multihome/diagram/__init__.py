# SPDX-License-Identifier: Apache-2.0
"""The picture of a plan: rules, tables, ENIs and destinations. All pure.

`content` says what is shown, `layout` where it stands, `svg` writes it.
"""

from __future__ import annotations

from cc_multihome.diagram.content import content_of
from cc_multihome.diagram.layout import lay_out
from cc_multihome.diagram.svg import svg
from cc_multihome.model import Plan


def diagram(plan: Plan) -> str:
    """Draw a plan as SVG 1.1; the same plan gives the same text.

    Raises:
        ValueError: the plan has no interfaces.
    """
    return svg(lay_out(content_of(plan)))
