"""The connections of this machine, which of them QGIS is signed in with, and what a person does with them."""

from __future__ import annotations

import json
from collections.abc import Callable

from age_oauth import _json_names as names
from age_oauth import qgis as engine
from age_oauth._signer import Disabled, SameServer
from age_oauth.connection import Connection
from age_oauth.errors import AgeOAuthError, ConnectionNotFound, ProgramUnusable, UsageError
from qgis.core import Qgis, QgsApplication, QgsSettings
from qgis.PyQt.QtCore import QObject, QTimer, pyqtSignal

from . import answers
from .browser import Browser
from .program import Program, Run
from .texts import tr

#: The IDs of the connections that are switched on.
_ENABLED = "age_oauth/enabled"

#: What is known of the sign-ins is read again after so many milliseconds.
_INTERVAL = 10 * 60 * 1000
#: After what the package has told, so soon, and not for each message.
_SOON = 1000

#: The members of a connection that decide what is signed and how its servers are reached.
_SETTINGS = (
    names.CONNECTION,
    names.PORTAL_URL,
    names.API_URL,
    names.REFERER,
    names.VERIFY_SSL,
    names.WEB_TIER,
    names.CLIENT_CERTIFICATE,
    names.CLIENT_CERTIFICATE_SHA256,
)
#: What `connections list` says of each connection.
_NEEDED = (names.ID, names.AUTH_TYPE, names.USERNAME, names.API_KEY_COMMAND, *_SETTINGS)

#: The kinds of connections that a person signs in with, or whom the web server vouches for.
WITH_SIGN_IN = ("user", "network")


class Entry:
    """A connection: what ``connections list`` says of it, and ``status``."""

    def __init__(self, facts: dict, status: dict) -> None:
        self.facts, self.status = facts, status
        self.id: str = facts[names.ID]
        self.label: str = facts[names.CONNECTION]
        self.api_url: str = facts[names.API_URL]
        self.portal_url: str = facts[names.PORTAL_URL]
        self.kind: str = facts[names.AUTH_TYPE]
        self.settings = tuple(facts[one] for one in _SETTINGS)
        self.user: "str | None" = facts[names.USERNAME]
        self.has_windows_sign_in: bool = facts[names.WEB_TIER] != "none"

    @property
    def connection(self) -> Connection:
        """The same for the package, without a start of the program."""
        return Connection._of(self.facts)


class Connections(QObject):
    """What the panel shows. The program is asked for all of it, and no call waits for it."""

    #: Something else is known, or the program was not found.
    changed = pyqtSignal()
    #: The sign-in of a connection has ended or ends soon: the entry, and the state.
    noticed = pyqtSignal(object, str)
    #: What was told of the sign-in of the connection with this ID is so no longer.
    settled = pyqtSignal(str)
    #: Something failed: the label of a connection or an empty text, and the error.
    failed = pyqtSignal(str, object)
    _opened = pyqtSignal(object)

    def __init__(self, iface: object) -> None:
        super().__init__()
        self.program = Program(self)
        self._browser = Browser(iface)
        self.entries: "list[Entry]" = []
        #: Why the connections are not known.
        self.error: "AgeOAuthError | None" = None
        self.is_busy = False
        self._on = set(_read_enabled())
        #: Those of them that could not be read at QGIS's start: nothing is signed with them yet.
        self._unopened: "set[str]" = set()
        #: The connections that are switched on, as they were then, by ID.
        self._used: "dict[str, Entry]" = {}
        #: Those of them whose entries in QGIS's browser panel are up to date.
        self._shown: "set[str]" = set()
        self._noticed: "dict[str, str]" = {}
        self._again = False
        self._after_refresh: "list[Callable[[], None]]" = []
        self._opened.connect(self._has_opened)
        self._timer = QTimer(self)
        self._timer.setInterval(_INTERVAL)
        self._timer.timeout.connect(lambda: self.refresh(self._show_in_browser))
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON)
        self._soon.timeout.connect(self.refresh)

    def start(self) -> None:
        """Switches on what was switched on before."""
        if self._on:
            engine.enable_by_id(sorted(self._on), self._has_opened_elsewhere)
        QgsApplication.messageLog().messageReceived.connect(self._has_logged)
        self._timer.start()
        self.refresh()

    def close(self) -> None:
        """Switches off what this plugin has switched on, and ends everything that goes on."""
        self._timer.stop()
        self._soon.stop()
        try:
            QgsApplication.messageLog().messageReceived.disconnect(self._has_logged)
        except TypeError:
            pass
        self.program.close()
        self._browser.close()
        if self._on:
            engine.disable(*(Connection._of({names.ID: one}) for one in self._on))
        self.deleteLater()

    # — what is known —

    def is_on(self, connection_id: str) -> bool:
        """Whether QGIS is signed in with this connection."""
        return connection_id in self._on

    def has_other_user(self, entry: Entry) -> bool:
        """Whether another user has signed in to the connection since it was switched on. Nothing is signed then."""
        used = self._used.get(entry.id)
        return used is not None and None not in (used.user, entry.user) and used.user != entry.user

    def find(self, connection_id: str) -> "Entry | None":
        """The connection with this ID."""
        return next((one for one in self.entries if one.id == connection_id), None)

    def refresh(self, then: "Callable[[], None] | None" = None) -> None:
        """Reads the connections and their sign-ins again; afterwards calls ``then``."""
        if callable(then):
            self._after_refresh.append(then)
        if self.is_busy:
            self._again = True
            return
        self.is_busy = True
        self.changed.emit()
        self.program.run(["connections", "list", "--json"], self._has_listed)

    def look_again(self) -> None:
        """Looks for the program, and reads the connections again. A portal that did not answer is asked again for the browser panel."""
        self.program.forget()
        self.refresh(self._show_in_browser)

    def _has_listed(self, run: Run) -> None:
        if run.error is not None:
            self._has_read(run.error, [])
            return
        listed = answers.rows(run.out, _NEEDED)
        if listed is None:
            self._has_read(_misunderstood(), [])
            return
        self.program.run(["status", "--json"], lambda status: self._has_status(listed, status))

    def _has_status(self, listed: "list[dict]", run: Run) -> None:
        if run.error is not None:
            self._has_read(run.error, [])
            return
        found = answers.rows(run.out, (names.ID,))
        if found is None:
            self._has_read(_misunderstood(), [])
            return
        status = {one[names.ID]: one for one in found}
        self._has_read(None, [Entry(one, status[one[names.ID]]) for one in listed if one[names.ID] in status])

    def _has_read(self, error: "AgeOAuthError | None", entries: "list[Entry]") -> None:
        self.is_busy = False
        self.error = error
        if error is None:
            self.entries = entries
            self._drop_removed()
            self._open_again()
            self._use_changes()
            self._tell()
        if self._again:
            self._again = False
            self.refresh()
            return
        after, self._after_refresh = self._after_refresh, []
        self.changed.emit()
        for one in after:
            one()

    def _drop_removed(self) -> None:
        """Switches off what was removed by another program."""
        known = {one.id for one in self.entries}
        for gone in self._on - known:
            engine.disable(Connection._of({names.ID: gone}))
            self._forget(gone)

    def _open_again(self) -> None:
        """Switches on what could not be read at QGIS's start. The program is not asked again, and each is tried once."""
        unopened, self._unopened = self._unopened & self._on, set()
        for one in self.entries:
            if one.id in unopened and not self.switch(one, True):
                self._forget(one.id)

    def _use_changes(self) -> None:
        """Takes up what another program has changed in a connection that is switched on. One whose user has changed, too, goes
        on as it began: a person signs in with it again."""
        for one in self.entries:
            if one.id not in self._on or one.id in self._unopened or self.has_other_user(one):
                continue
            is_same = self._used.setdefault(one.id, one).settings == one.settings
            # What a person has disabled in the console stays so until QGIS's next start.
            if is_same or not engine.is_enabled(one.connection):
                self._used[one.id] = one
            elif not self.switch(one, True):
                engine.disable(one.connection)
                self._forget(one.id)

    def _tell(self) -> None:
        """Tells once of each sign-in in use that has ended or ends soon."""
        for one in self.entries:
            state = answers.notice(one.status) if one.id in self._on else None
            told = self._noticed.pop(one.id, None)
            if state is not None:
                self._noticed[one.id] = state
            if told not in (None, state):
                self.settled.emit(one.id)
            if state not in (None, told):
                self.noticed.emit(one, state)

    def _has_logged(self, text: str, tag: str, level: object) -> None:
        # The package logs what it cannot sign, and edits that were not saved.
        if tag != "age-oauth":
            return
        if level == Qgis.MessageLevel.Critical:
            self.failed.emit("", AgeOAuthError(text))
        if not self._soon.isActive():
            self._soon.start()

    # — on and off —

    def _has_opened_elsewhere(self, wrong: "dict[str, AgeOAuthError]") -> None:
        try:
            self._opened.emit(wrong)
        except RuntimeError:  # The plugin was unloaded meanwhile.
            pass

    def _has_opened(self, wrong: "dict[str, AgeOAuthError]") -> None:
        # What a person has disabled in the console meanwhile stays so until QGIS's next start.
        wrong = {one: error for one, error in wrong.items() if not isinstance(error, Disabled)}
        for connection_id, error in wrong.items():
            if isinstance(error, (ConnectionNotFound, UsageError)):
                self._forget(connection_id)
            else:
                self._unopened.add(connection_id)
        said = {error.message: error for error in wrong.values() if not isinstance(error, ConnectionNotFound)}
        for error in said.values():
            self.failed.emit("", error)
        self.refresh(self._show_in_browser)

    def _show_in_browser(self) -> None:
        """Makes the entries that are missing in QGIS's browser panel."""
        for one in self.entries:
            if one.id in self._on and not (one.id in self._shown and self._browser.has(one.id)):
                self.program.run(
                    ["api", "--connection-id", one.id, "portals/self/servers", "--output", "-"],
                    lambda run, entry=one: self._has_servers(entry, run),
                )

    def _has_servers(self, entry: Entry, run: Run) -> None:
        # A portal may list its servers for administrators only. Its groups are there nevertheless.
        if entry.id in self._on and (run.error is None or run.error.kind == "refused"):
            listed = answers.answer(run.out) if run.error is None else None
            self._shown.add(entry.id)
            self._browser.add(entry.id, entry.label, answers.services_directory(listed, entry.api_url), entry.api_url)

    def switch(self, entry: Entry, is_on: bool) -> bool:
        """Signs QGIS in with a connection, or no longer. Whether that is so now."""
        if is_on:
            try:
                engine.enable(entry.connection)
            except SameServer as error:
                self.failed.emit("", AgeOAuthError(error.message, tr("untick the other one first")))
                self.changed.emit()
                return False
            except AgeOAuthError as error:
                self.failed.emit(entry.label, error)
                self.changed.emit()
                return False
            self._on.add(entry.id)
            self._used[entry.id] = entry
            self._shown.discard(entry.id)
            self._show_in_browser()
            _write_enabled(self._on)
        else:
            engine.disable(entry.connection)
            self._forget(entry.id)
        self._tell()
        self.changed.emit()
        return True

    def _forget(self, connection_id: str) -> None:
        self._on.discard(connection_id)
        self._unopened.discard(connection_id)
        self._used.pop(connection_id, None)
        self._shown.discard(connection_id)
        self._browser.remove(connection_id)
        _write_enabled(self._on)

    # — what a person does —

    def add(self, settings: answers.Settings, ended: "Callable[[Run], None]") -> Run:
        """Adds a connection."""
        return self.program.run([*settings.arguments(), "--json"], ended, text=settings.input() or "")

    def sign_in(
        self, connection_id: str, switches_user: bool, line: "Callable[[dict], None]", ended: "Callable[[Run], None]"
    ) -> Run:
        """Lets a person sign in, with the browser that the program opens."""
        words = ["login", "--connection-id", connection_id, "--json", "--open-browser"]
        if switches_user:
            words.append("--switch-user")
        return self.program.run(words, ended, line=line, text=None, has_limit=False)

    def has_signed_in(self, connection_id: str) -> None:
        """After a sign-in: QGIS is signed in with the connection, and what failed before is loaded again."""
        self.refresh(lambda: self._use(connection_id))

    def _use(self, connection_id: str) -> None:
        entry = self.find(connection_id)
        if entry is not None:
            self.switch(entry, True)

    def sign_out(self, entry: Entry, ended: "Callable[[Run], None]") -> None:
        """Ends the sign-in of a connection."""

        def done(run: Run) -> None:
            if run.error is None and entry.id in self._on:
                self.switch(entry, False)
            self.refresh()
            ended(run)

        self.program.run(["logout", "--connection-id", entry.id, "--json"], done)


def _misunderstood() -> ProgramUnusable:
    return ProgramUnusable(tr("the age-oauth program printed something that is not a list of connections"), "age-oauth doctor")


def _read_enabled() -> "list[str]":
    try:
        found = json.loads(str(QgsSettings().value(_ENABLED, "[]")))
    except ValueError:
        return []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _write_enabled(ids: "set[str]") -> None:
    QgsSettings().setValue(_ENABLED, json.dumps(sorted(ids)))
