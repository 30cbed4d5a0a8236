"""Texts and values as Argo takes them: what would be evaluated again is refused."""

from __future__ import annotations

from coalmine._base.errors import InputError
from coalmine.compiler.argo_value import Names
from coalmine.compiler.argo_wrap import FACTS, made_path, output_path, taken_path
from coalmine.compiler.manifest import Place
from coalmine.compiler.piece import ArtifactPath, InputRef, OutputPath, Part, Piece
from coalmine.compiler.pod import SIMPLE_NAME, pod_text
from coalmine.compiler.task import Task
from coalmine.compiler.value import Constant, Imported, Joined, RunFact, Value

__all__ = ["TARGET", "exact", "legal_name", "piece_text", "plain", "value_text"]

TARGET = "argo"


def value_text(value: Value, where: Place, names: Names) -> str:
    """Say a value of the pipeline.

    Raises:
        InputError: Argo cannot say it there.
    """
    match value:
        case Constant(text):
            return _literal(text, where)
        case RunFact.TASK_ID:
            raise InputError(
                f"{where}: {value.value} is known only within the task",
                fix="ask for it in the component's own command, or compile for kfp",
            )
        case RunFact():
            return FACTS[value]
        case Joined(parts):
            # What stands for a reference begins with a brace: one before it would make a third.
            shown = (one.value if isinstance(one, Constant) else "{x}" for one in parts)
            plain("".join(shown), where)
            return "".join(value_text(part, where, names) for part in parts)
        case Imported():
            return value_text(value.uri, where, names)
        case _:
            return names.tag(value)


def _literal(text: str, where: Place) -> str:
    return pod_text(plain(text, where))


def piece_text(piece: Piece, task: Task) -> str:
    """Say a piece of a task's command line.

    Raises:
        InputError: It holds what Argo would evaluate.
    """
    where = Place(task.name, "command line", TARGET)
    # What stands for a reference begins with a brace, so one before it would make a third.
    plain("".join(part if type(part) is str else "{x}" for part in piece), where)
    return "".join(_part(part, task) for part in piece)


def _part(part: Part, task: Task) -> str:
    match part:
        case RunFact():
            return FACTS[part]
        case ArtifactPath(name, made):
            return made_path(name) if made else taken_path(name, task)
        case InputRef(name):
            return f"{{{{inputs.parameters.{name}}}}}"
        case OutputPath(name):
            return output_path(name)
        case _:
            return pod_text(part)


def plain(text: str, where: Place) -> str:
    """Take a text only if Argo evaluates nothing in it.

    Raises:
        InputError: It would.
    """
    if "{{" in text:
        raise InputError(
            f"{where}: the text {text!r} holds {{{{, which Argo would evaluate",
            fix="put a blank between the braces, or pass the text in a file",
        )
    return text


def exact(text: str, where: Place) -> str:
    """Take a text only if it means itself wherever it ends up: on a command line or compared.

    Raises:
        InputError: It does not.
    """
    if pod_text(f"{text}.") != f"{text}.":
        raise InputError(
            f"{where}: {text!r} holds $$ or $(, which Kubernetes replaces",
            fix="use a value without them",
        )
    return plain(text, where)


def legal_name(name: str, where: Place) -> str:
    """Take a name only if Argo does.

    Raises:
        InputError: It does not.
    """
    if SIMPLE_NAME.fullmatch(name):
        return name
    raise InputError(
        f"{where}: the name is not legal", fix="use letters, digits, dashes and underscores"
    )
