"""In what kind of Python session this runs: whether a person can be asked there, and how, and whether they type Python or
commands of a shell."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from typing import Any

#: A person types at a terminal, which the program shares.
TERMINAL = "terminal"
#: A person can be asked with :func:`input` only: notebooks, IDLE, windows with a Python prompt.
FIELD = "field"


def in_notebook() -> bool:
    """Whether this runs in a notebook or another window of Jupyter's kernel."""
    return _kernel() is not None


def _kernel() -> Any:
    shell = sys.modules.get("IPython")
    get = getattr(shell, "get_ipython", None)
    return getattr(get() if get else None, "kernel", None)


def in_pro() -> bool:
    """Whether this Python runs inside the window of ArcGIS Pro, where no stream reads what a person types."""
    return os.path.basename(sys.executable or "").lower().startswith("arcgispro")


def has_arcpy() -> bool:
    """Whether this is Python of ArcGIS Pro, in its window or in a clone of its environment. Imports nothing of it."""
    if in_pro() or "arcpy" in sys.modules:
        return True
    import importlib.util

    return importlib.util.find_spec("arcpy") is not None


def way_to_ask() -> "str | None":
    """How a person can be asked here; ``None`` if that is not possible."""
    if in_notebook():
        # papermill and nbconvert run cells where no person answers.
        return None if getattr(_kernel(), "_allow_stdin", True) is False else FIELD
    if in_pro() or not (_is_interactive(sys.stdin) and _is_interactive(sys.stderr)):
        return None
    # Streams without a file descriptor, as in IDLE, cannot be handed to the program.
    return TERMINAL if _has_descriptor(sys.stdin) and _has_descriptor(sys.stderr) else FIELD


def _is_interactive(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # It does not exist (no console), or is closed.
        return False


def _has_descriptor(stream: Any) -> bool:
    try:
        return os.isatty(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return False


def prefers_python() -> bool:
    """Whether advice names calls of Python: there is a Python prompt or a notebook, or no console for a command."""
    return (
        in_notebook()
        or in_pro()
        or hasattr(sys, "ps1")
        or "idlelib.run" in sys.modules
        or sys.stdin is None
        or sys.stderr is None
    )


def python_command() -> str:
    """What starts this environment's Python in a shell, quoted. Not ``sys.executable`` as it is: in ArcGIS Pro that is
    ``ArcGISPro.exe``, and in IDLE ``pythonw.exe``, which prints nothing."""
    program = sys.executable or ""
    name = os.path.basename(program).lower()
    if name.startswith("pythonw"):
        name = "python" + name[len("pythonw") :]
        program = os.path.join(os.path.dirname(program), name)
    if not name.startswith("python") or not os.path.isfile(program):
        inside = ("python.exe",) if os.name == "nt" else (os.path.join("bin", "python3"),)
        program = os.path.join(sys.prefix, *inside)
    return f'"{program}"' if os.path.isfile(program) else "python"


#: A connection as a command names it.
_NAME = r"(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s\"';,-][^\s\"';,]*)"
_LOGIN = (
    r"age-oauth login(?P<chosen>(?: (?:-c|--connection|--connection-id)[ =](?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s\"';]+))?)"
    r"(?P<switch>(?: --switch-user)?)"
)
#: The options of `connections add` and `edit` that have a value in hints.
_OPTION = r"--(?:label|portal|api-url|client-id|auth-type|verify-ssl|redirect-uri|referer|proxy|keychain|client-cert|client-secret-command|api-key-command|expires|web-tier|pkce) [^\s;,)]+"
_WITHOUT_VALUE = {
    "--client-secret-stdin": 'client_secret="…"',
    "--api-key-stdin": 'api_key="…"',
    "--client-cert-password-stdin or --client-cert-password-file": 'client_cert_password="…"',
    "--no-check": "check=False",
}
_EDIT = rf"age-oauth connections edit (?P<name>{_NAME})(?P<options>(?: {_OPTION}| --client-secret-stdin| --api-key-stdin)+)"
_ADD_AGAIN = rf"age-oauth connections add --label[ =](?P<name>{_NAME}) --replace …"


def hint(text: "str | None", *, python: bool = False) -> "str | None":
    """A hint of the program, with calls of Python in place of the commands that have one, where a person types Python."""
    if text is None or not (python or prefers_python()):
        return text
    import re

    text = text.replace("age-oauth connections list", "age_oauth.list_connections()").replace("(--min-ttl)", "(min_ttl)")
    text = text.replace("age-oauth connections add --no-check …", "age_oauth.add_connection(…, check=False)")
    if text == "age-oauth connections add":
        return 'age_oauth.add_connection("NAME", portal="URL", client_id="ID")'
    text = re.sub(_ADD_AGAIN, _add_call, text)
    text = re.sub(_EDIT, _edit_call, text)
    return re.sub(_LOGIN, _login_call, text)


def with_arguments(text: str) -> str:
    """A hint with arguments of a call in Python in place of the options of a command."""
    import re

    return re.sub(
        "|".join([_OPTION, *_WITHOUT_VALUE]), lambda found: _WITHOUT_VALUE.get(found[0]) or _arguments(found[0]), text
    )


def _arguments(options: str) -> str:
    words = options.split()
    given = []
    while words:
        flag = words.pop(0)
        if flag in _WITHOUT_VALUE:
            given.append(_WITHOUT_VALUE[flag])
        else:
            name, value = flag[2:].replace("-", "_"), words.pop(0)
            given.append(f"{name}={value.capitalize() if value in ('true', 'false') else quoted(value)}")
    return ", ".join(given)


def _add_call(found: "re.Match[str]") -> str:
    return f"age_oauth.add_connection({quoted(_unquoted(found['name']))}, …, replace=True)"


def _edit_call(found: "re.Match[str]") -> str:
    return f"age_oauth.Connection({quoted(_unquoted(found['name']))}).edit({_arguments(found['options'])})"


def _unquoted(name: str) -> str:
    import shlex

    try:
        return "".join(shlex.split(name))
    except ValueError:
        return name


def _login_call(found: "re.Match[str]") -> str:
    import shlex

    chosen = found["chosen"].strip()
    try:
        words = shlex.split(chosen.replace("=", " ", 1) if chosen.startswith("--") else chosen)
    except ValueError:
        return found[0]
    if len(words) not in (0, 2):
        return found[0]
    by_id = "connection_id=" if words and words[0] == "--connection-id" else ""
    connection = f"{by_id}{quoted(words[1])}" if words else ""
    options = "switch_user=True" if found["switch"] else ""
    return f"age_oauth.Connection({connection}).login({options})"


def quoted(text: str) -> str:
    """A text as it is written in Python."""
    import json

    return json.dumps(text, ensure_ascii=False)
