"""What requests present to the web server in front of a portal: the client certificate of the connection, and an answer to
Windows sign-in. Both go to the scheme, host and port that the program names, and to no other.

One process of the program serves a Python process: it is started when it is needed first, and ends with it.
"""

from __future__ import annotations

import threading

from . import _addresses as addresses
from . import _by_id, _program
from . import _json_names as names
from .errors import AgeOAuthError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from typing import Any

    from .connection import Connection


class _Helper:
    """The process that answers, one line for each line."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: "Any" = None

    def ask(self, question: str, connection_id: str) -> "dict[str, Any]":
        with self._lock:
            answer = self._asked(question, connection_id) or self._asked(question, connection_id)
        if answer is None:
            raise AgeOAuthError("`age-oauth web-tier` ended before it answered", "age-oauth doctor")
        if names.ERROR in answer:
            raise _program.failure(answer[names.ERROR][names.CODE], [answer])
        return answer

    def _asked(self, question: str, connection_id: str) -> "dict[str, Any] | None":
        """The answer; ``None`` if the process ended before, as it does by Ctrl-C in a terminal. It is started again then."""
        import json

        if self._process is None or self._process.poll() is not None:
            self._start()
        process = self._process
        limit = threading.Timer(_program.TIMEOUT, process.kill)
        limit.daemon = True
        limit.start()
        try:
            process.stdin.write(f"{question} {connection_id}\n".encode())
            process.stdin.flush()
            line = process.stdout.readline()
            return json.loads(line) if line.endswith(b"\n") else None
        except OSError:  # The pipe is closed.
            return None
        except BaseException:
            # Its answer would be taken for that to the next question.
            self.end()
            raise
        finally:
            limit.cancel()

    def _start(self) -> None:
        import atexit
        import subprocess

        self.end()
        self._process = _program.start(
            ["--quiet", "web-tier"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        atexit.unregister(self.end)
        atexit.register(self.end)

    def end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            self._close(process)

    def forget(self) -> None:
        """In a forked process, whose parent goes on to use the process."""
        self._lock = threading.Lock()
        process, self._process = self._process, None
        if process is not None:
            # Not its child: there is nothing to wait for.
            process.returncode = 0
            self._close(process)

    @staticmethod
    def _close(process: "Any") -> None:
        for stream in (process.stdin, process.stdout):
            try:
                stream.close()
            except OSError:
                pass


_helper = _Helper()
_by_id.at_fork.append(_helper.forget)


class Presented:
    """What a connection presents."""

    def __init__(self, connection: "Connection", facts: "dict[str, Any] | None" = None) -> None:
        facts = connection._facts if facts is None else facts
        self._id = connection.id
        self._label = connection.label
        self._origin = addresses.origin(connection.api_url)
        self._answers = facts[names.WEB_TIER] != "none"
        self._has_certificate = facts[names.CLIENT_CERTIFICATE] is not None

    def __bool__(self) -> bool:
        return self._answers or self._has_certificate

    def belongs_to(self, url: str) -> bool:
        """Whether a request to this address presents it."""
        return bool(self) and self._origin[0] == "https" and addresses.origin(url) == self._origin

    def check(self, verify: "Any") -> None:
        """Refuses a server that is not verified: it could use what it gets."""
        if verify is False:
            raise UsageError(
                f"`{self._label}` presents its Windows sign-in or client certificate only to a server that is verified, and this "
                "request has verify=False",
                f"trust the portal's certificate: age-oauth connections edit {self._id} --verify-ssl FILE.pem",
            )

    def authorization(self, has_body: bool) -> "str | None":
        """The value of ``Authorization`` for one request; ``None`` if Windows sign-in is not answered."""
        if not self._answers:
            return None
        return self._ask("authorization-with-body" if has_body else "authorization")[names.AUTHORIZATION]

    def load_certificate(self, context: "ssl.SSLContext") -> bool:
        """Lets all connections of this context present the client certificate; ``False`` if there is none."""
        if not self._has_certificate:
            return False
        answer = self._ask("certificate")
        if answer[names.CERTIFICATE] is None:
            return False
        _load(context, answer, self._label)
        return True

    def _ask(self, question: str) -> "dict[str, Any]":
        answer = _helper.ask(question, self._id)
        origin = answer[names.ORIGIN]
        if origin is None or addresses.origin(origin) != self._origin:
            raise UsageError(
                f"the portal of `{self._label}` is at another address now, and this session began before",
                "begin a new session",
            )
        return answer


def _load(context: "ssl.SSLContext", answer: "dict[str, Any]", label: str) -> None:
    """``ssl`` reads files only. The file is for this user alone, is removed at once, and holds the private key under a
    password that exists in memory only."""
    import os
    import tempfile

    descriptor, path = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(answer[names.CERTIFICATE] + answer[names.PRIVATE_KEY])
        context.load_cert_chain(path, password=answer[names.PRIVATE_KEY_PASSWORD])
    except (OSError, ValueError) as error:  # Errors of `ssl` are an OSError.
        raise AgeOAuthError(
            f"this Python cannot use the client certificate of `{label}`: {error}", "age-oauth api makes single requests with it"
        ).caused_by(error) from None
    finally:
        os.unlink(path)


class Sensitive(str):
    """The value of a header that a pickle of a request does not hold."""

    def __reduce__(self) -> "tuple[Any, ...]":
        return str, ("",)
