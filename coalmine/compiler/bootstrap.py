"""Run a KFP component that takes an executor input, without any service of KFP.

This file is written into manifests as it stands, so it needs nothing but Python 3.9. It makes the
executor input from its arguments, runs the command behind ``--``, and turns what that has written
into results: ``python3 -c THIS SPEC kind:name=value ... -- command ...``. The kinds: ``input``,
``optional`` (no value if empty), ``result`` (where to write an output), ``taken`` and ``made``
(paths of artifacts), ``about`` and ``keep`` (their descriptions: a file or JSON; where to write).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from decimal import Decimal
from typing import Any

__all__ = ["collect", "executor_input", "json_text", "number_text", "read_value", "text_of"]

HTML = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
TRUE = ("true", "True", "TRUE", "t", "T", "1")


def number_text(value: float) -> str:
    """Write a number in full, without an exponent: Go's ``FormatFloat(value, 'f', -1, 64)``."""
    if isinstance(value, int):
        return str(value)
    if value - value != 0:
        return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def json_text(value: Any) -> str:
    """Write a value as Go's ``json.Marshal`` writes a ``structpb`` value: keys in order, no blanks.

    Raises:
        ValueError: It holds something that JSON has no word for.
    """
    if isinstance(value, dict):
        pairs = [f"{json_text(str(key))}:{json_text(value[key])}" for key in sorted(value)]
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return f"[{','.join(json_text(item) for item in value)}]"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _json_number(float(value))
    if value is None or isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False).translate(HTML)
    raise ValueError(f"{value!r} is no JSON")


def _json_number(value: float) -> str:
    if value - value != 0:
        raise ValueError(f"{value} is no JSON")
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return number_text(value)
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa}e{int(exponent):+d}"


def read_value(text: str, kind: str) -> Any:
    """Read a parameter's text as a value of its type."""
    if kind == "STRING":
        return text
    if kind == "BOOLEAN":
        return text.strip() in TRUE
    if kind == "NUMBER_INTEGER":
        return int(text)
    if kind == "NUMBER_DOUBLE":
        return float(text)
    value = json.loads(text)
    if not isinstance(value, list if kind == "LIST" else dict):
        raise ValueError(f"{text} is no {kind}")
    return value


def text_of(value: Any, kind: str) -> str:
    """Write a value of a type as the text that travels between tasks."""
    if kind == "STRING":
        return value if isinstance(value, str) else json_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and kind == "NUMBER_INTEGER" and value == int(value):
        value = int(value)
    return number_text(value) if isinstance(value, (int, float)) else json_text(value)


def executor_input(
    spec: dict[str, Any],
    values: dict[str, str],
    taken: dict[str, dict[str, Any]],
    made: dict[str, str],
    root: str,
) -> dict[str, Any]:
    """Make the executor input, as KFP's driver does.

    Args:
        spec: The types of all inputs and outputs.
        values: The text of each input parameter that has a value.
        taken: The description of each input artifact.
        made: The path of each output artifact.
        root: The folder for what the component writes.
    """
    outputs = {name: {"outputFile": os.path.join(root, name)} for name in spec["outputs"]}
    artifacts = {
        name: {"name": name, "type": spec["made"][name], "uri": path, "metadata": {}}
        for name, path in made.items()
    }
    return {
        "inputs": {
            "parameterValues": {
                name: read_value(text, spec["inputs"][name]) for name, text in values.items()
            },
            "artifacts": {name: {"artifacts": [item]} for name, item in taken.items()},
        },
        "outputs": {
            "parameters": outputs,
            "artifacts": {name: {"artifacts": [item]} for name, item in artifacts.items()},
            "outputFile": os.path.join(root, "executor_output.json"),
        },
    }


def collect(
    spec: dict[str, Any], request: dict[str, Any]
) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Read what a component has written: the texts of its outputs, its artifacts' descriptions.

    What stands in the executor output goes before what stands in an output's own file.

    Raises:
        OSError: An output was not written.
        ValueError: It is no value of its type.
    """
    outputs = request["outputs"]
    written: dict[str, Any] = {}
    if os.path.exists(outputs["outputFile"]):
        with open(outputs["outputFile"], encoding="utf-8") as file:
            written = json.load(file)
    values = written.get("parameterValues", {})
    texts = {}
    for name, kind in spec["outputs"].items():
        if name in values:
            texts[name] = text_of(values[name], kind)
            read_value(texts[name], kind)
        else:
            with open(
                outputs["parameters"][name]["outputFile"], encoding="utf-8", newline=""
            ) as file:
                texts[name] = text_of(read_value(file.read(), kind), kind)
    made = {}
    for name, artifact in outputs["artifacts"].items():
        said = written.get("artifacts", {}).get(name, {}).get("artifacts", [{}])[0]
        made[name] = {**artifact["artifacts"][0], **said}
        made[name]["name"] = made[name]["name"] or name
    return texts, made


def _filled(parts: list[Any], places: dict[str, Any]) -> str:
    return "".join(part if isinstance(part, str) else places[part[0]][part[1]] for part in parts)


def _described(name: str, path: str, about: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Describe an input artifact: as its maker did, at the place where it is here."""
    if about.startswith("/"):
        about = open(about, encoding="utf-8").read() if os.path.exists(about) else ""
    said = json.loads(about or "{}")
    plain = {"name": name, "type": spec["taken"][name], "metadata": {}}
    moved = said.pop("moved", False)
    return {**plain, **said} if moved else {**plain, **said, "uri": path}


def _run(command: list[str]) -> int:
    process = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
    code = process.wait()
    return code if code >= 0 else 128 - code


def _write(texts: dict[str, str], results: dict[str, str], spec: dict[str, Any]) -> None:
    entries = [{"key": name, "value": text, "type": 1} for name, text in texts.items()]
    size = len(json.dumps(entries, ensure_ascii=False).encode())
    if spec["limit"] and size > spec["limit"]:
        sys.exit(
            f"the outputs {', '.join(texts)} take {size} bytes together, and {spec['limit']} is "
            "what this engine can carry; write large values to an artifact or a store, and hand "
            "on where they are"
        )
    for name, path in results.items():
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(texts[name] + spec["final"])


def _keep(made: dict[str, dict[str, Any]], paths: dict[str, str], keep: dict[str, str]) -> None:
    for name, where in keep.items():
        about = {**made[name], "moved": made[name]["uri"] != paths[name]}
        # Engines read these as their own language when the text passes through them.
        text = json_text(about).replace("{" * 2, "{\\u007b").replace("$", "\\u0024")
        with open(where, "w", encoding="utf-8") as file:
            file.write(text)


def _main(spec: dict[str, Any], said: list[str], command: list[str]) -> None:
    given: dict[str, dict[str, str]] = {}
    for item in said:
        kind, _, rest = item.partition(":")
        name, _, value = rest.partition("=")
        given.setdefault(kind, {})[name] = value
    optional = {name: text for name, text in given.get("optional", {}).items() if text}
    values = {**given.get("input", {}), **optional}
    about = given.get("about", {})
    taken = {
        name: _described(name, path, about.get(name, ""), spec)
        for name, path in given.get("taken", {}).items()
    }
    made = given.get("made", {})
    request = executor_input(spec, values, taken, made, tempfile.mkdtemp())
    outputs = request["outputs"]
    places = {
        "input": values,
        "output": {name: item["outputFile"] for name, item in outputs["parameters"].items()},
        "taken": {name: item["uri"] for name, item in taken.items()},
        "made": made,
        "fact": given.get("fact", {}),
        "executor": {"input": json.dumps(request), "output": outputs["outputFile"]},
    }
    for index, parts in spec["fill"].items():
        command[int(index)] = _filled(parts, places)
    if code := _run(command):
        sys.exit(code)
    try:
        texts, described = collect(spec, request)
    except (OSError, ValueError) as error:
        sys.exit(f"an output is missing or of another type: {error}")
    _write(texts, given.get("result", {}), spec)
    _keep(described, made, given.get("keep", {}))


if __name__ == "__main__":
    behind = sys.argv.index("--")
    _main(json.loads(sys.argv[1]), sys.argv[2:behind], sys.argv[behind + 1 :])
