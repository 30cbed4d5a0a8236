"""The flat graph, shown: as text for people, as JSON for programs, as Mermaid and SVG for pages."""

from coalmine.compiler.views.data import to_json
from coalmine.compiler.views.mermaid import to_mermaid
from coalmine.compiler.views.svg import to_svg
from coalmine.compiler.views.text import to_text

__all__ = ["to_json", "to_mermaid", "to_svg", "to_text"]
