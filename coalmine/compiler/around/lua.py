"""A rule as the Lua script of a sensor's filter: true for the events that it takes.

Lua's patterns know neither alternatives nor counts, so lengths are compared. What the filter lets
pass is what the sensor's templates then read.
"""

from __future__ import annotations

import re

from coalmine.compiler.around.rules import ID_LENGTH, LONGEST_VALUE, VALUE_CHARACTERS, Field, Rule

__all__ = ["script"]

SPECIAL = re.compile(r"[^A-Za-z0-9\s]")
HELPERS = f"""\
local function attribute(name)
  local found = event.header[name]
  if type(found) == "table" and #found == 1 then return found[1] end
  return ""
end
local function one_of(text, list)
  for _, item in ipairs(list) do
    if text:match(item) then return true end
  end
  return false
end
local function is_id(text)
  if #text <= {ID_LENGTH} then return text:match("^[a-z0-9]+$") ~= nil end
  return #text == 36 and text:match("^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$") ~= nil
    and text:sub(9, 9) .. text:sub(14, 14) .. text:sub(19, 19) .. text:sub(24, 24) == "----"
    and text == text:lower()
end
local function field(...)
  local found = event.body
  for _, key in ipairs({{...}}) do
    if type(found) ~= "table" then return nil end
    found = found[key]
  end
  return found
end
local function harmless(value, must)
  if value == nil then return not must end
  if type(value) == "number" then return value ~= 0 and math.abs(value) < 1000000 end
  return type(value) == "string" and #value <= {LONGEST_VALUE}
    and value:match("^[{VALUE_CHARACTERS}%-]*$") ~= nil and not (must and value == "")
end
"""


def script(rule: Rule) -> str:
    """Write the script."""
    checks = [
        'type(event.body) == "table"',
        'attribute("Ce-Specversion") == "1.0"',
        *(
            f"one_of(attribute({_quoted(canonical(name))}), {_patterns(patterns)})"
            for name, patterns in rule.wanted()
        ),
        'is_id(attribute("Ce-Id"))',
        *(f"harmless({_value(item)}, {str(must).lower()})" for item, must in rule.fields()),
    ]
    joined = "\n  and ".join(checks)
    return f"{HELPERS}return {joined}\n"


def _value(item: Field) -> str:
    if item.header:
        return f"attribute({_quoted(canonical(item.path[0]))})"
    return f"field({', '.join(_quoted(key) for key in item.path)})"


def canonical(header: str) -> str:
    """Write a header's name as Go keeps it: ``ce-type`` is ``Ce-Type``."""
    return "-".join(part.capitalize() for part in header.split("-"))


def _patterns(texts: tuple[str, ...]) -> str:
    exact = (".*".join(SPECIAL.sub(r"%\g<0>", part) for part in text.split("*")) for text in texts)
    return "{" + ", ".join(_quoted(f"^{text}$") for text in exact) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
