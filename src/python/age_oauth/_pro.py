"""ArcGIS Pro: ``arcpy.SignInToPortal`` takes a token, its referer and its expiry (since Pro 3.2, according to Esri's documentation)."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from . import _addresses as addresses
from . import _by_id, _program
from . import _json_names as names
from ._provider import Token
from .connection import Connection
from .errors import AgeOAuthError, AgeOAuthWarning, PortalRefused, warn

#: Pro gets a token that lives at least so long, in seconds, or half of the life that the portal
#: grants, if that is less.
MIN_LEFT = 600.0

#: After a renewal that failed, the next attempt starts after so many seconds. No wait is longer:
#: waits do not go on while the machine sleeps.
PAUSE = 30.0


class ProSignIn(Connection):
    """The connection that ArcGIS Pro is signed in with. In a ``with`` statement, it renews Pro's sign-in until the end of the
    statement, and then signs in again to what was active before."""

    def __init__(self, connection: Connection, arcpy: Any) -> None:
        self._take(connection._facts)
        self._provider = connection._provider
        self._arcpy = arcpy
        self._before = _Active.of(arcpy)
        self._stop = threading.Event()
        #: Held while arcpy is called after the beginning.
        self._lock = threading.Lock()
        self._failure: "AgeOAuthError | None" = None
        self._sign_in_pro(self._provider.token(MIN_LEFT))

    def __reduce__(self) -> "tuple[Any, ...]":  # Another process has another ArcGIS Pro.
        return _by_id.restore, (Connection, self.id)

    def __enter__(self) -> "ProSignIn":
        threading.Thread(target=self._keep, name="age-oauth ArcGIS Pro", daemon=True).start()
        return self

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        self._stop.set()
        if self._failure is not None and self._given.left() <= 0:
            warn(
                f"ArcGIS Pro's sign-in to {self.portal_url} was not renewed before its end: {self._failure}",
                AgeOAuthWarning,
            )
        with self._lock:
            # Otherwise the script or the person has chosen another portal meanwhile.
            if _is_same(_Active.url_of(self._arcpy), self.portal_url):
                self._before.restore(self._arcpy)

    def _sign_in_pro(self, token: Token) -> None:
        try:
            self._arcpy.SignInToPortal(
                self.portal_url,
                token=token.value,
                token_referer=token.facts[names.REFERER] or "",
                token_expiry=int(token.expires_at),
            )
        except TypeError as error:
            raise AgeOAuthError(
                "this version of ArcGIS Pro does not accept tokens; Pro 3.2 or newer is needed"
            ).caused_by(error) from None
        except Exception as error:
            if _is_about_licence(error):
                raise _no_licence(error) from None
            raise PortalRefused(
                f"ArcGIS Pro could not sign in to {self.portal_url} with the token of `{self.label}`: {error}",
                f"age-oauth doctor -c {self.id}",
            ).caused_by(error) from None
        self._given = token

    def _keep(self) -> None:
        """Gives Pro a new token before the present one expires; a thread of its own."""
        tried = False
        while not self._stop.wait(self._pause(tried)):
            tried = self._due_in() <= 0
            if tried:
                self._renew()

    def _renew(self) -> None:
        try:
            token = self._provider.token(self._min_left())
            with self._lock:
                if self._stop.is_set():
                    return
                active = _Active.url_of(self._arcpy)
                if _is_same(active, self.portal_url):
                    if token.value != self._given.value:
                        self._sign_in_pro(token)
                elif active is not None:
                    # A script that has signed in to another portal meanwhile keeps that one.
                    self._given = token
            self._failure = None
        except AgeOAuthError as error:
            self._failure = error
            _program.log().info("ArcGIS Pro's sign-in to `%s` was not renewed: %s", self.label, error.message)

    def _pause(self, tried: bool) -> float:
        """Seconds until the next look at the token, after one that may have tried to renew it."""
        due_in = self._due_in()
        if tried and due_in <= 0:
            return PAUSE
        return min(max(0.5, due_in), PAUSE)

    def _due_in(self) -> float:
        """Seconds until the token that Pro has should be renewed."""
        return self._given.left() - self._min_left()

    def _min_left(self) -> float:
        return min(MIN_LEFT, self._given._life / 2)


class _Active:
    """The portal that was active in ArcGIS Pro, and the token that it was signed in with."""

    def __init__(self, url: "str | None", token: "dict[str, Any]") -> None:
        self.url, self._token = url, token

    @classmethod
    def of(cls, arcpy: Any) -> "_Active":
        try:
            token = arcpy.GetSigninToken()
        except Exception:  # Pro reports a portal that it cannot reach in this way, too.
            token = None
        return cls(cls.url_of(arcpy), token if isinstance(token, dict) else {})

    @staticmethod
    def url_of(arcpy: Any) -> "str | None":
        try:
            return arcpy.GetActivePortalURL() or None
        except Exception:
            return None

    def restore(self, arcpy: Any) -> None:
        """Signs in again to what was active. What Pro refuses is a warning: the work is done."""
        try:
            if self.url is None or not self._token.get("token"):
                arcpy.SignOutFromPortal()
            elif self._has_expired():
                # Pro may have a sign-in of its own: its person's, or that of Windows.
                arcpy.SignInToPortal(self.url)
            else:
                arcpy.SignInToPortal(
                    self.url,
                    token=self._token["token"],
                    token_referer=self._token.get("referer") or "",
                    token_expiry=int(self._expires()),
                )
        except Exception as error:
            before = f"signed in to {self.url} again" if self._token.get("token") else "signed out"
            warn(f"ArcGIS Pro could not be {before} ({error}); choose the portal in ArcGIS Pro", AgeOAuthWarning)

    def _expires(self) -> float:
        """Seconds since 1970; 0 if Pro does not say."""
        try:
            given = float(self._token.get("expires") or 0)
        except (TypeError, ValueError):
            return 0.0
        return given / 1000 if given > 1e11 else given

    def _has_expired(self) -> bool:
        return 0 < self._expires() <= time.time()


def sign_in(connection: Connection) -> ProSignIn:
    """Signs in ArcGIS Pro; lets a person sign in before, if that is needed and possible."""
    try:
        import arcpy
    except ImportError as error:
        raise AgeOAuthError(
            "there is no arcpy here: this works only in ArcGIS Pro and its Python environments",
            "elsewhere: age_oauth.get_gis()",
        ).caused_by(error) from None
    except Exception as error:
        # Without a licence, the import raises a `RuntimeError` with the text `NotInitialized`.
        raise _no_licence(error) from None
    connection.ensure_signed_in()
    return ProSignIn(connection, arcpy)


def _is_about_licence(error: BaseException) -> bool:
    return any(word in str(error).lower() for word in ("licens", "licenc", "notinitialized"))


def _no_licence(error: BaseException) -> AgeOAuthError:
    said = str(error).strip().splitlines() or [type(error).__name__]
    return AgeOAuthError(
        f"arcpy has no licence for this user: {said[-1]}",
        "start ArcGIS Pro once as this user and sign in there, or take a licence offline, then try again",
    ).caused_by(error)


def _is_same(active: "str | None", portal_url: str) -> bool:
    return active is not None and _address(active) == _address(portal_url)


def _address(url: str) -> "tuple[Any, str]":
    return addresses.origin(url), urlsplit(url).path.rstrip("/")
