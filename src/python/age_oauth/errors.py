"""The errors: one class per exit code of the program, so that a script can handle each kind in its own way.

Every class is an :class:`AgeOAuthError`, which is a :class:`RuntimeError`, as version 0.2 raised.
"""

from __future__ import annotations

__all__ = [
    "AgeOAuthError",
    "AgeOAuthWarning",
    "Busy",
    "ConnectionNotFound",
    "KeychainUnavailable",
    "PortalRefused",
    "PortalUnreachable",
    "ProgramUnusable",
    "SignInEndsSoon",
    "SignInRequired",
    "UsageError",
]


class AgeOAuthError(RuntimeError):
    """The base class, and any other failure.

    ``message`` says what happened and to which connection, ``hint`` what to run next (or ``None``), ``kind`` is the kind of
    failure as in the JSON of the program, ``code`` the exit code of the program.
    """

    #: The exit code of the program for this class.
    code: int = 1
    #: The word in the program's JSON, if the program reported no finer one.
    kind: str = "failed"

    def __init__(self, message: str, hint: str | None = None, kind: str | None = None) -> None:
        self.message = message
        self.hint = hint
        if kind is not None:
            self.kind = kind
        super().__init__(f"{message}\nhint: {hint}" if hint else message)

    #: The error of another package that it stands for, whose frames the traceback leaves out.
    cause: "BaseException | None" = None

    def caused_by(self, cause: BaseException) -> "AgeOAuthError":
        """Itself, with another error as its cause and without the frames between the two."""
        self.cause = cause
        return self.with_traceback(None)

    def _render_traceback_(self) -> "list[str]":
        """The lines that IPython and notebooks show: the frames below a cell say nothing about its error."""
        lines = [f"{type(self).__name__}: {self.message}"]
        return [*lines, f"hint: {self.hint}"] if self.hint else lines

    def __reduce__(self) -> "tuple[type[AgeOAuthError], tuple[str, str | None, str]]":  # Errors of worker processes are pickled.
        return (type(self), (self.message, self.hint, self.kind))


class UsageError(AgeOAuthError):
    """A value cannot be used: an unknown option, an invalid duration, two selectors at once."""

    code = 2
    kind = "usage"


class SignInRequired(AgeOAuthError):
    """There is no sign-in, or it has ended; or the API key is missing, has ended, or is refused (``api_key``). Trying again
    does not help; a person must run ``age-oauth login``, or give another key."""

    code = 3
    kind = "sign_in_needed"


class ConnectionNotFound(AgeOAuthError):
    """No connection has this name, several match, or none was named although there are several."""

    code = 4
    kind = "no_connection"


class KeychainUnavailable(AgeOAuthError):
    """The keychain is missing, locked, or does not respond, or the stored secret is not there any more; or the command that
    prints the client secret or the API key failed (``secret_command``)."""

    code = 5
    kind = "keychain"


class PortalUnreachable(AgeOAuthError):
    """The portal cannot be reached, or its response cannot be used. Trying again later may help."""

    code = 6
    kind = "unreachable"


class PortalRefused(AgeOAuthError):
    """The portal refused. Trying again does not help."""

    code = 7
    kind = "refused"


class Busy(AgeOAuthError):
    """Another process held a lock for too long. Trying again later helps."""

    code = 8
    kind = "busy"


class ProgramUnusable(AgeOAuthError):
    """The ``age-oauth`` program is missing, too old, blocked by a policy of this machine, or did not answer as expected."""

    kind = "program"


class AgeOAuthWarning(UserWarning):
    """The base class of the warnings of this package, and any other warning."""


class SignInEndsSoon(AgeOAuthWarning):
    """A sign-in expires within 3 days and cannot be extended: run ``age-oauth login`` before."""


#: Packages whose frames are not the caller's: they call this package for each request.
_BETWEEN = {"age_oauth", "arcgis", "httpx", "requests", "urllib3"}


def warn(message: str, category: "type[AgeOAuthWarning]") -> None:
    """Warns, and names the line of the caller's own code."""
    import sys
    import warnings

    level, frame = 1, sys._getframe()
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in _BETWEEN:
        level, frame = level + 1, frame.f_back
    try:
        warnings.warn(message, category, stacklevel=level)
    except ValueError:  # The script has closed its stderr.
        pass


BY_CODE = {
    one.code: one
    for one in (
        AgeOAuthError,
        UsageError,
        SignInRequired,
        ConnectionNotFound,
        KeychainUnavailable,
        PortalUnreachable,
        PortalRefused,
        Busy,
    )
}
