"""The flat graph, shown: as text for people, as JSON for programs, as Mermaid for pages."""

from coalmine.compiler.views.data import to_json
from coalmine.compiler.views.mermaid import to_mermaid
from coalmine.compiler.views.text import to_text

__all__ = ["to_json", "to_mermaid", "to_text"]
