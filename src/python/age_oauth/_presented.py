"""What requests present to the web server in front of a portal: the client certificate of the connection, and an answer to
Windows sign-in. Both go to the scheme, host and port that the program names, and to no other.

One process of the program serves a Python process: it is started when it is needed first, and ends with it.
"""

from __future__ import annotations

import threading

from . import _addresses as addresses
from . import _by_id, _find, _program
from . import _json_names as names
from .errors import AgeOAuthError, Busy, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from typing import Any

    from .connection import Connection


#: The longest wait for one answer, and for those to other threads before, in seconds. The program
#: waits for Kerberos and for the web server within this time.
LIMIT = 60


#: How long an ended process may take to remove its files, in seconds.
_END = 5


class _Helper:
    """The process that answers, one line for each line."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: "Any" = None
        self._began: "Any" = None
        self._read = b""

    def ask(self, question: str, connection_id: str) -> "dict[str, Any]":
        if not self._lock.acquire(timeout=LIMIT):
            raise Busy(f"`age-oauth web-tier` has answered nothing for {LIMIT} seconds", "age-oauth doctor")
        try:
            answer = self._asked(question, connection_id) or self._asked(question, connection_id)
        finally:
            self._lock.release()
        if answer is None:
            raise _program.misunderstood(_find.find())
        if names.ERROR in answer:
            raise _program.failure(answer[names.ERROR][names.CODE], [answer])
        return answer

    def _asked(self, question: str, connection_id: str) -> "dict[str, Any] | None":
        """The answer; ``None`` if the process ended before, as it does by Ctrl-C in a terminal. It is started again then."""
        import json

        process = self._running()
        limit = threading.Timer(LIMIT, process.kill)
        limit.daemon = True
        try:
            limit.start()
        except RuntimeError:  # The interpreter ends.
            pass
        try:
            process.stdin.write(f"{question} {connection_id}\n".encode())
            line = self._line(process.stdout.fileno())
            return json.loads(line) if line else None
        except OSError:  # The pipe is closed.
            return None
        except ValueError:  # Another program, which prints something else.
            self._end()
            return None
        except BaseException:
            # Its answer would be taken for that to the next question.
            self._end(busy=True)
            raise
        finally:
            limit.cancel()

    def _line(self, descriptor: int) -> bytes:
        import os

        while b"\n" not in self._read:
            more = os.read(descriptor, 65536)
            if not more:
                return b""
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return line

    def _running(self) -> "Any":
        """The process. One of another environment is ended: it would answer for other connections, or with other tickets."""
        import atexit
        import subprocess

        path = _find.find()
        began = path, _find.guarded(path)
        if self._process is not None and self._process.poll() is None and self._began == began:
            return self._process
        self._end()
        # Without buffers, whose locks a thread may hold that a forked process does not have.
        self._process = _program.start(
            ["--quiet", "web-tier"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        self._began = began
        atexit.unregister(self.end)
        atexit.register(self.end)
        return self._process

    def end(self) -> None:
        """Ends the process. It is started again when it is needed."""
        if self._lock.acquire(timeout=1):
            try:
                self._end()
            finally:
                self._lock.release()

    def _end(self, *, busy: bool = False) -> None:
        import subprocess

        process, self._process, self._read = self._process, None, b""
        if process is None:
            return
        # It ends with its input, or by a signal if it works on an answer, and removes its files.
        try:
            process.stdin.close()
        except OSError:
            pass
        for stop in (process.terminate if busy else None, process.kill):
            if stop is not None:
                stop()
            try:
                process.wait(timeout=_END)
                break
            except subprocess.TimeoutExpired:
                continue
        self._close(process)

    def forget(self) -> None:
        """In a forked process, whose parent goes on to use the process."""
        self._lock = threading.Lock()
        process, self._process, self._read = self._process, None, b""
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

    def __init__(
        self, connection: "Connection", facts: "dict[str, Any] | None" = None, *, has_own_certificate: bool = False
    ) -> None:
        facts = connection._facts if facts is None else facts
        self._id = connection.id
        self._label = connection.label
        self._origin = addresses.origin(facts[names.API_URL])
        self._answers = facts.get(names.WEB_TIER, "none") != "none"
        #: Whether the caller presents another certificate in place of the connection's.
        self._has_own = has_own_certificate
        self._has_certificate = facts.get(names.CLIENT_CERTIFICATE) is not None

    def __bool__(self) -> bool:
        return self._answers or self._has_certificate or self._has_own

    def answers_windows_sign_in(self) -> bool:
        return self._answers

    def belongs_to(self, url: str) -> bool:
        """Whether a request to this address presents it."""
        return bool(self) and self._origin[0] == "https" and addresses.origin(url) == self._origin

    def check(self, verify: "Any") -> None:
        """Refuses a server that is not verified: it could use what it gets."""
        import os

        # `requests` takes 0, None and an empty text for False.
        if verify is not True and not (isinstance(verify, (str, os.PathLike)) and os.fspath(verify)):
            raise UsageError(
                f"`{self._label}` presents its Windows sign-in or client certificate only to a server that is verified, and this "
                "request has verify=False",
                f"trust the portal's certificate: age-oauth connections edit {self._id} --verify-ssl FILE.pem",
            )

    def was_refused(self) -> None:
        """The web server refused a request: it has to let in the next one before a body is sent."""
        self._ask("refused")

    def authorization(self, has_body: bool) -> "str | None":
        """The value of ``Authorization`` for one request; ``None`` if Windows sign-in is not answered."""
        if not self._answers:
            return None
        return self._ask("authorization-with-body" if has_body else "authorization")[names.AUTHORIZATION]

    def load_certificate(self, context: "ssl.SSLContext") -> bool:
        """Lets all connections of this context present the client certificate; ``False`` if there is none."""
        answer = self.certificate()
        if answer is None:
            return False
        _load(context, answer, self._label)
        return True

    def has_certificate(self) -> bool:
        """Whether the connection itself presents a client certificate."""
        return self._has_certificate and not self._has_own

    def certificate(self) -> "dict[str, Any] | None":
        """The client certificate and its private key, encrypted, with the password; ``None`` if there is none."""
        if not self.has_certificate():
            return None
        answer = self._ask("certificate")
        return None if answer[names.CERTIFICATE] is None else answer

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
    import contextlib
    import os
    import tempfile

    path = None
    try:
        descriptor, path = tempfile.mkstemp(suffix=".pem")
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(answer[names.CERTIFICATE] + answer[names.PRIVATE_KEY])
        context.load_cert_chain(path, password=answer[names.PRIVATE_KEY_PASSWORD])
    except (OSError, ValueError) as error:  # Errors of `ssl` are an OSError.
        raise AgeOAuthError(
            f"this Python cannot use the client certificate of `{label}`: {error}", "age-oauth api makes single requests with it"
        ).caused_by(error) from None
    finally:
        if path is not None:
            with contextlib.suppress(OSError):  # A virus scanner may hold it.
                os.unlink(path)


class Sensitive(str):
    """The value of a header that a pickle of a request does not hold."""

    def __reduce__(self) -> "tuple[Any, ...]":
        return str, ("",)
