"""What can go wrong: one class per exit code of the program, so that a script can tell apart what it would handle differently.

Every class is an :class:`AgeOAuthError`, which is a :class:`RuntimeError`, as version 0.2 raised.
"""

from __future__ import annotations

__all__ = [
    "AgeOAuthError",
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
    """Something went wrong.

    ``message`` says what happened and to which connection, ``hint`` what to run next (or ``None``), ``kind`` is the word
    that the program uses for it, ``code`` the exit code of the program.
    """

    #: The exit code of the program that stands for this class.
    code = 1
    #: The word for it in the program's JSON.
    kind = "failed"

    def __init__(self, message: str, hint: str | None = None, kind: str | None = None) -> None:
        self.message = message
        self.hint = hint
        if kind is not None:
            self.kind = kind
        super().__init__(f"{message}\nhint: {hint}" if hint else message)

    def __reduce__(self):  # Worker processes hand errors on.
        return (type(self), (self.message, self.hint, self.kind))


class UsageError(AgeOAuthError):
    """A value makes no sense: an unknown option, a duration that is none, two selectors at once."""

    code, kind = 2, "usage"


class SignInRequired(AgeOAuthError):
    """Nobody is signed in, or the sign-in has ended. Trying again does not help; a person must run ``age-oauth login``."""

    code, kind = 3, "sign_in_needed"


class ConnectionNotFound(AgeOAuthError):
    """No connection goes by this name, or several do, or none was named where there are several."""

    code, kind = 4, "no_connection"


class KeychainUnavailable(AgeOAuthError):
    """The keychain is missing, locked, does not answer, or lacks what was stored."""

    code, kind = 5, "keychain"


class PortalUnreachable(AgeOAuthError):
    """The portal, or something on the way to it, gave no usable answer. Trying again later may help."""

    code, kind = 6, "unreachable"


class PortalRefused(AgeOAuthError):
    """The portal said no. Trying again does not help."""

    code, kind = 7, "refused"


class Busy(AgeOAuthError):
    """Another process held a lock for too long. Trying again helps."""

    code, kind = 8, "busy"


class ProgramUnusable(AgeOAuthError):
    """The ``age-oauth`` program is missing, too old, blocked by a policy of this machine, or gave no answer of its own."""

    kind = "program"


class SignInEndsSoon(UserWarning):
    """A sign-in ends within 3 days and cannot be extended by itself: somebody should run ``age-oauth login`` before."""


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
