"""How good generated images are, and with what it is measured."""

from typing import Literal

Ruler = Literal["domain", "inception", "xrv", "rad-dino"]
"""The networks that metrics can be measured with: this project's own, the FID's, and two of other people."""
