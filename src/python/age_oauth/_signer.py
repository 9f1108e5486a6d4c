"""Which request of QGIS may carry which token, without Qt: by the address alone.

The main thread never waits. Other threads wait for a token that is being fetched, within a limit. What had to go without one is
remembered, so that its layer can be loaded again when the token came.
"""

from __future__ import annotations

import re
import threading
import time
from urllib.parse import urlsplit

from . import _addresses as addresses
from . import _json_names as names
from . import _rejection
from ._background import Closed, Question, Run
from ._policy import Policy
from ._presented import Presented
from ._servers import Servers
from .errors import AgeOAuthError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .connection import Connection

    #: Tells a person something once: what it is about, and the text.
    Tell = Callable[[str, str], None]

#: The longest wait of a request for its token, in seconds after the program was asked for it. So,
#: while a portal answers nothing, requests after the first ones do not wait for it again.
WAIT = 20.0

#: So many seconds it is remembered that tokens were rejected at one address.
MEMORY = 600.0

#: So many tokens, and so many addresses, are remembered.
_TOKENS = 64
_ADDRESSES = 1000


#: Folders, and services with layers, also those that a portal passes on. What stands before them is
#: a root, and names no other part of ArcGIS. Other operations than these, such as `submitJob` and
#: `createReplica`, may start or change something by a mere GET.
_SERVICE = re.compile(
    r"(?:/(?!(?:rest|sharing|admin|portaladmin|tokens|manager)/)[^/]+)*"
    r"(?:/sharing/(?:servers|appservices)/[^/]+)?"
    r"/rest/(?:info(?:/.*)?|services(?:/[^/]+)?"
    r"|services(?:/[^/]+){1,2}/(?:feature|map|image|vectortile)server(?:/\d+)*"
    r"(?:/(?:layers|legend|identify|find|export|exportimage|query\w*|relationships|htmlpopup|iteminfo"
    r"|addfeatures|updatefeatures|deletefeatures|applyedits|addattachment|updateattachment|deleteattachments"
    r"|(?:attachments|tile|tilemap|info|images|resources)(?:/[^/]+)*))?)/?"
)

#: What QGIS's browser panel reads below the root of a portal: its user, its groups and their items.
_CONTENT = re.compile(
    r"/sharing/rest/(?:portals/self|community/self|community/(?:users|groups)/[^/]+|content/(?:groups|items)/[^/]+(?:/data)?)/?"
)


class SameServer(UsageError):
    """A connection to the same server is enabled."""


class Disabled(AgeOAuthError):
    """All connections were disabled before this one was read."""


class Answer:
    """What a request to one of the portals or their servers carries."""

    __slots__ = ("portal", "token", "certificate", "is_late")

    def __init__(
        self, portal: "Portal | None", token: "str | None", certificate: "dict[str, Any] | None", is_late: bool
    ) -> None:
        #: ``None`` while it is not known whether the address is on a server of one of the portals.
        self.portal = portal
        #: ``None`` if the request carries none.
        self.token = token
        #: The client certificate for this address.
        self.certificate = certificate
        #: Whether what is missing may come later.
        self.is_late = is_late


class Portal:
    """One connection whose requests are signed."""

    def __init__(self, connection: Connection, servers: "Iterable[str]", ended: "Callable[[Portal, Run], None]") -> None:
        self.connection = connection
        self.id, self.label = connection.id, connection.label
        self.facts = connection._facts
        self.referer: "str | None" = self.facts[names.REFERER]
        both = (connection.portal_url, connection.api_url)
        self._roots = [(addresses.origin(url), urlsplit(url).path.rstrip("/").lower()) for url in both]
        self.origins = {origin for origin, _ in self._roots}
        self.policy = Policy(connection._provider, connection.portal_url, connection.api_url)
        self.presented = Presented(connection)
        self._ended = lambda run: ended(self, run)
        self.servers = Servers(connection, servers, self._ended)
        self.certificate = Question(self.presented.certificate, self._ended, retries=True)
        self._lock = threading.Lock()
        self._tokens: "dict[str, Question]" = {}
        self._replacements: "dict[tuple[str, str], Question]" = {}

    def has_origin(self, url: str) -> bool:
        """Whether the address has the scheme, the host and the port of the portal."""
        return addresses.origin(url) in self.origins

    def is_at(self, url: str) -> bool:
        """Whether the address is below the portal's own."""
        return self.has_origin(url) and self.policy.server(url) == ""

    def reads(self, url: str) -> bool:
        """Whether the address, which belongs to the portal, is one that layers and the browser panel read. A project from a
        stranger can have QGIS request any other one: of an administrator, or one that deletes an item."""
        path = addresses.decoded(urlsplit(url).path).lower()
        if _SERVICE.fullmatch(path):
            return True
        if self.policy.server(url) != "":
            return False
        roots = [root for origin, root in self._roots if origin == addresses.origin(url)] or [""]
        return any(path.startswith(root) and _CONTENT.fullmatch(path[len(root) :]) for root in roots)

    def serves(self, url: str, longest_wait: float) -> "bool | None":
        """Whether the portal issues tokens for this address, which is not its own; ``None`` if that is not known yet."""
        server = self.policy.server(url)
        if server == "":
            return True  # A host of the same ArcGIS Online.
        return self.servers.covers(server, longest_wait) if addresses.is_of_a_server(url) else False

    def token(self, url: str) -> Question:
        """The question for the token of this address."""
        server = self.policy.server(url)
        with self._lock:
            if server not in self._tokens:
                self._tokens[server] = Question(lambda: self.policy.token(url), self._ended, retries=True)
            return self._tokens[server]

    def replacement(self, url: str, rejected: str) -> Question:
        """The question for another token than this one, which was rejected."""
        key = self.policy.server(url), rejected
        with self._lock:
            if key not in self._replacements:
                while len(self._replacements) >= _TOKENS:
                    self._replacements.pop(next(iter(self._replacements))).close()
                self._replacements[key] = Question(lambda: self._other(url, rejected), self._ended, retries=True)
            return self._replacements[key]

    def _other(self, url: str, rejected: str) -> "str | AgeOAuthError | None":
        other = self.policy.instead_of(url, rejected)
        if other != rejected:
            return other
        return AgeOAuthError(f"{urlsplit(url).hostname} rejects the tokens of `{self.label}`", "age-oauth doctor")

    def questions(self) -> "list[Question]":
        """What is needed for the first layer."""
        certificate = [self.certificate] if self.presented.has_certificate() else []
        return [self.token(self.connection.api_url), self.servers.question, *certificate]

    def close(self) -> None:
        with self._lock:
            questions = [*self._tokens.values(), *self._replacements.values()]
        for one in (self.servers.question, self.certificate, *questions):
            one.close()


class Signer:
    """The connections that are enabled, for any number of threads. ``came`` is called when there is something that a request
    had to go without."""

    def __init__(self, tell: Tell, came: "Callable[[], None]") -> None:
        self._tell, self._came = tell, came
        self._lock = threading.Lock()
        self.portals: "tuple[Portal, ...]" = ()
        #: The portal of each token that was handed out.
        self._tokens: "dict[str, Portal]" = {}
        self._late: "dict[str, None]" = {}
        self._rejected: "dict[str, dict[int, float]]" = {}

    def add(self, *connections: Connection, servers: "Iterable[str]" = ()) -> None:
        """Enables connections, or enables them again: all of them, or none if there is an error."""
        added = [self._portal_of(one, servers) for one in connections]
        with self._lock:
            portals = self.portals
            for new in added:
                others = [one for one in portals if one.id != new.id]
                _check_is_alone(new, others)
                portals = (*others, new)
            replaced = [one for one in self.portals if one not in portals]
            self.portals = portals
            # Of its tokens, those that a server rejects are replaced by the new one.
            self._forget(replaced)
        for one in replaced:
            one.close()
        for new in portals:
            if new in added:
                self._begin(new)

    def _portal_of(self, connection: Connection, servers: "Iterable[str]") -> Portal:
        if any(addresses.origin(url)[0] != "https" for url in (connection.portal_url, connection.api_url)):
            raise UsageError(
                f"the portal of `{connection.label}` is reached without TLS; QGIS is signed in to https portals only",
                f"if the portal has https: age-oauth connections edit {connection.id} --portal URL",
            )
        return Portal(connection, servers, self._has_ended)

    def _begin(self, portal: Portal) -> None:
        if portal.presented.answers_windows_sign_in():
            self._tell(
                f"windows {portal.id}",
                f"the web server of `{portal.label}` asks for Windows sign-in, which QGIS's requests do not carry: requests to "
                "the address of the portal are not signed",
            )
        for question in portal.questions():
            question.again()

    def remove(self, connection_id: "str | None" = None) -> None:
        """Disables one connection, or all."""
        with self._lock:
            gone = [one for one in self.portals if connection_id in (None, one.id)]
            self.portals = tuple(one for one in self.portals if one not in gone)
            self._forget(gone)
        for one in gone:
            one.close()

    def _forget(self, gone: "list[Portal]") -> None:
        self._tokens = {token: portal for token, portal in self._tokens.items() if portal not in gone}

    def answer(self, url: str, longest_wait: float) -> "Answer | None":
        """What a request to this address carries; ``None`` if it has nothing to do with the connections. What the program is
        asked for is waited for until so many seconds after the question."""
        try:
            if addresses.origin(url)[0] != "https" or not addresses.is_plain(url):
                return None
            portal, is_known = self._portal(url, longest_wait)
        except ValueError:  # The port is not a number.
            return None
        if not is_known:
            self._is_late(url)
            return Answer(None, None, None, is_late=True)
        if portal is None:
            return None
        if not portal.reads(url):
            return Answer(portal, None, None, is_late=False)
        presented = portal.presented.belongs_to(url)
        if presented and portal.presented.answers_windows_sign_in():
            return None
        certificate = None
        if presented and portal.presented.has_certificate():
            # `enable` reads it anew.
            run = portal.certificate.answered_or_run()
            if not _is_answered(run, longest_wait):
                return self._without(portal, url, run)
            # `None` where the connection has none any more.
            certificate = run.value
        try:
            known, token = portal.policy.at_once(url)
        except AgeOAuthError as error:
            # Another user has signed in, for example. Asking again changes nothing.
            self._tell_error(portal, error)
            return Answer(portal, None, certificate, is_late=False)
        if not known:
            run = portal.token(url).run()
            if not _is_answered(run, longest_wait):
                return self._without(portal, url, run)
            token = run.value
        if token is not None:
            self._remember(token, portal)
        return Answer(portal, token, certificate, is_late=False)

    def _portal(self, url: str, longest_wait: float) -> "tuple[Portal | None, bool]":
        """The one connection that the address belongs to, and whether that is known."""
        portals = self.portals
        for portal in portals:
            if portal.is_at(url):
                return portal, True
        answers = [(portal, portal.serves(url, longest_wait)) for portal in portals]
        found = [portal for portal, serves in answers if serves]
        if len(found) > 1:
            host = addresses.origin(url)[1]
            both = " and ".join(f"`{one.label}`" for one in found)
            text = f"requests to {host} are not signed, because it is a server of {both}: disable one of them"
            self._tell(f"both {host}", text)
            return None, True
        if any(serves is None for _, serves in answers):
            return None, False
        return (found[0] if found else None), True

    def _without(self, portal: Portal, url: str, run: Run) -> Answer:
        self._is_late(url)
        if run.is_done() and run.error is None:
            # It ended before the address was there.
            self._came()
        return Answer(portal, None, None, is_late=True)

    def belongs(self, connection_id: str, url: str) -> "bool | None":
        """Whether this address is one of a service whose requests are signed with this connection; ``None`` while it is not
        known whether its server is one of the portal's."""
        portal = next((one for one in self.portals if one.id == connection_id), None)
        try:
            if portal is None or addresses.origin(url)[0] != "https" or not addresses.is_plain(url) or not portal.reads(url):
                return False
            return portal.is_at(url) or portal.serves(url, 0)
        except ValueError:  # The port is not a number.
            return False

    def remember_late(self, url: str) -> None:
        """What this address is for has failed before."""
        try:
            self._is_late(url)
        except ValueError:  # The port is not a number.
            pass

    def _is_late(self, url: str) -> None:
        with self._lock:
            if len(self._late) < _ADDRESSES:
                self._late[address(url)] = None

    def _remember(self, token: str, portal: Portal) -> None:
        if self._tokens.get(token) is portal:
            return
        with self._lock:
            if portal not in self.portals:
                return
            while len(self._tokens) >= _TOKENS:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[token] = portal

    def is_ours(self, token: str) -> bool:
        """Whether this token was handed out."""
        return token in self._tokens

    def rejected(self, url: str, token: str) -> None:
        """A server rejected the token: gets another one, in a thread of its own. Of the tokens that one address rejects, few
        are replaced."""
        portal = self._tokens.get(token)
        if portal is None:
            return
        here, now = address(url), time.monotonic()
        with self._lock:
            known = here in self._rejected
            if not known and len(self._rejected) >= _ADDRESSES:
                self._rejected = {one: tokens for one, tokens in self._rejected.items() if now - max(tokens.values()) < MEMORY}
            # While so many addresses reject tokens, those of further addresses are not replaced.
            may_replace = known or len(self._rejected) < _ADDRESSES
            if may_replace:
                tokens = {one: when for one, when in self._rejected.get(here, {}).items() if now - when < MEMORY}
                tokens.setdefault(hash(token), now)
                self._rejected[here] = tokens
                may_replace = len(tokens) <= _rejection.STEPS
        if not may_replace:
            self._tell(f"rejected {here}", f"the server rejects each token of `{portal.label}`: {here}")
            return
        self._is_late(url)
        portal.replacement(url, token).run()

    def take_late(self) -> "list[str]":
        """The addresses that went without a token or were refused. They are forgotten."""
        with self._lock:
            late, self._late = list(self._late), {}
        needed = []
        for one in late:
            portal, is_known = self._portal(one, 0)
            if not is_known:
                self._is_late(one)
            elif portal is not None:
                needed.append(one)
        return needed

    def _has_ended(self, portal: Portal, run: Run) -> None:
        if portal not in self.portals or isinstance(run.error, Closed):
            return
        wrong = run.error or run.value
        if isinstance(wrong, AgeOAuthError):
            self._tell_error(portal, wrong)
        elif run.error is not None:
            self._tell(f"{portal.id} {type(run.error).__name__}", f"`{portal.label}`: {type(run.error).__name__}")
        elif self._late:
            self._came()

    def _tell_error(self, portal: Portal, error: AgeOAuthError) -> None:
        hint = f" (what to do: {error.hint})" if error.hint else ""
        self._tell(f"{portal.id} {error.message}", f"QGIS is not signed in with `{portal.label}`: {error.message}{hint}")


def _check_is_alone(new: Portal, others: "Iterable[Portal]") -> None:
    """Raises an error if one of the others belongs to the same server."""
    for other in others:
        if other.origins & new.origins:
            raise SameServer(
                f"`{other.label}` and `{new.label}` are connections to the same server, and QGIS can be signed in "
                "there with one of them only",
                f"age_oauth.qgis.disable({other.label!r})",
            )


def _is_answered(run: Run, longest_wait: float) -> bool:
    """Whether the run has its answer, which does not change then."""
    return run.wait(run.began + longest_wait - time.monotonic()) and run.error is None


def address(url: str) -> str:
    """An address without its query, in a form that can be compared."""
    parts = urlsplit(url)
    scheme, host, port = addresses.origin(url)
    return f"{scheme}://{host}:{port}{parts.path.rstrip('/')}"


def is_edit(url: str) -> bool:
    """Whether this is the address at which a layer is edited."""
    operation = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    return operation.lower() in ("addfeatures", "updatefeatures", "deletefeatures", "applyedits")


def concerns(layer_url: str, late: "Iterable[str]") -> bool:
    """Whether a layer with this address needs one of these."""
    try:
        layer = address(layer_url)
    except ValueError:
        return False
    return any(one == layer or one.startswith(layer + "/") or layer.startswith(one + "/") for one in late)
