"""What stands around a compiled pipeline: a run of it, what starts it, and what it may do."""

from coalmine.compiler.around.extras import Extra, Surroundings, surround
from coalmine.compiler.around.rules import Field, Rule, Text, parse_text

__all__ = ["Extra", "Field", "Rule", "Surroundings", "Text", "parse_text", "surround"]
