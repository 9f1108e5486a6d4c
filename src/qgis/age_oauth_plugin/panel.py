"""The panel: the connections, who is signed in until when, and the search."""

from __future__ import annotations

from age_oauth import _json_names as names
from age_oauth.errors import AgeOAuthError
from qgis.core import Qgis
from qgis.PyQt.QtCore import Qt, QTimer
from qgis.PyQt.QtGui import QPalette
from qgis.PyQt.QtWidgets import (
    QDialog,
    QDockWidget,
    QHBoxLayout,
    QMenu,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QTabWidget,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from . import answers
from .connections import WITH_SIGN_IN, Connections, Entry
from .dialogs import AddDialog, SignInDialog, TestDialog
from .program import Run
from .search import Search
from .texts import TITLE, close_messages, fit_columns, label, of_error, tell, tr

_ID = Qt.ItemDataRole.UserRole


class Panel(QDockWidget):
    """The panel at the side of QGIS's window."""

    def __init__(self, iface: object, connections: Connections) -> None:
        super().__init__(tr("ArcGIS portals"), iface.mainWindow())  # type: ignore[attr-defined]
        self.setObjectName("AgeOAuthPanel")
        self._iface, self._connections = iface, connections
        self._is_showing = False
        #: The windows that are open. Qt's parent alone does not keep their Python objects.
        self._windows: "set[QDialog]" = set()
        self.search = Search(iface, connections)
        self._tabs = QTabWidget()
        self._tabs.setMinimumWidth(340)
        self._tabs.addTab(self._make_connections(), tr("Connections"))
        self._tabs.addTab(self.search, tr("Search"))
        self.setWidget(self._tabs)
        connections.changed.connect(self._show)
        connections.noticed.connect(self._notice)
        connections.failed.connect(self._fail)
        connections.program.changed.connect(self._show_program)
        connections.settled.connect(lambda connection_id: close_messages(iface, connection_id))
        self._show()
        self._show_program()

    def _make_connections(self) -> QWidget:
        self.list = QTreeWidget()
        self.list.setObjectName("connectionList")
        self.list.setRootIsDecorated(False)
        self.list.setHeaderLabels([tr("Connection"), tr("Signed in"), tr("Until")])
        fit_columns(self.list)
        self.list.itemChanged.connect(self._has_changed)
        self.list.itemSelectionChanged.connect(self._show_chosen)
        self._about = label()
        self._about.setObjectName("connectionAbout")
        self._program = label()
        self._program.setObjectName("programAbout")
        self._program.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self._busy = QProgressBar()
        self._busy.setRange(0, 0)
        self._busy.setTextVisible(False)
        self._busy.setMaximumHeight(6)
        self._add = self._button("addConnection", tr("Add connection"), self.add)
        self._refresh = self._button("refreshConnections", tr("Refresh"), self._connections.look_again)
        self._sign_in = QToolButton()
        self._sign_in.setObjectName("signIn")
        self._sign_in.setText(tr("Sign in"))
        self._sign_in.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self._sign_in.clicked.connect(lambda: self.sign_in(self._chosen()))
        menu = QMenu(self._sign_in)
        menu.addAction(tr("Sign in as another user"), lambda: self.sign_in(self._chosen(), switches_user=True))
        self._sign_in.setMenu(menu)
        self._sign_out = self._button("signOut", tr("Sign out"), self._ask_to_sign_out)
        self._test = self._button("testConnection", tr("Test"), self.test)
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.addWidget(self.list)
        layout.addWidget(self._about)
        layout.addWidget(self._busy)
        for line in ((self._sign_in, self._sign_out, self._test), (self._add, self._refresh)):
            row = QHBoxLayout()
            for one in line:
                row.addWidget(one)
            row.addStretch()
            layout.addLayout(row)
        layout.addWidget(self._program)
        return page

    def _button(self, name: str, text: str, action: object) -> QPushButton:
        made = QPushButton(text)
        made.setObjectName(name)
        made.clicked.connect(lambda: action())  # type: ignore[operator]
        return made

    # — what is shown —

    def _show(self) -> None:
        chosen = self._chosen_id()
        self._is_showing = True
        self.list.clear()
        for entry in self._connections.entries:
            row = QTreeWidgetItem([answers.plain(entry.label), _state(entry), _until(entry)])
            row.setData(0, _ID, entry.id)
            row.setFlags(row.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            is_on = self._connections.is_on(entry.id)
            row.setCheckState(0, Qt.CheckState.Checked if is_on else Qt.CheckState.Unchecked)
            self.list.addTopLevelItem(row)
            if entry.id == chosen or (chosen is None and len(self._connections.entries) == 1):
                self.list.setCurrentItem(row)
        self._is_showing = False
        self._busy.setVisible(self._connections.is_busy)
        self._add.setEnabled(self._connections.error is None)
        self._show_chosen()

    def _show_chosen(self) -> None:
        if self._is_showing:
            return
        entry = self._chosen()
        self._sign_in.setEnabled(entry is not None and entry.kind in WITH_SIGN_IN)
        self._sign_out.setEnabled(entry is not None and entry.kind in WITH_SIGN_IN)
        self._test.setEnabled(entry is not None)
        error = self._connections.error
        if error is not None:
            self._about.setText(of_error(error))
        elif entry is not None:
            if not self._connections.is_on(entry.id):
                on = tr("Tick its box to sign QGIS in with it.")
            elif entry.status.get(names.SIGN_IN) in answers.NEEDS_SIGN_IN and entry.kind == answers.KEY:
                on = _about_key(entry, "ended")
            elif entry.status.get(names.SIGN_IN) in answers.NEEDS_SIGN_IN:
                on = tr("Its box is ticked. Sign in, so that its layers load.")
            elif self._connections.has_other_user(entry):
                on = tr("Another user has signed in to it. Untick its box and tick it again to go on as that user.")
            else:
                on = tr("QGIS is signed in with it.")
            text = f"{answers.plain(entry.portal_url)}\n{on}"
            if entry.has_windows_sign_in:
                text = f"{text}\n{_without_windows_sign_in()}"
            self._about.setText(text)
        elif self._connections.entries:
            self._about.setText(tr("Choose a connection. Those with a tick sign QGIS in."))
        elif self._connections.is_busy:
            self._about.setText(tr("Reading the connections …"))
        else:
            self._about.setText(tr("There are no connections on this machine yet. Add one to begin."))

    def _show_program(self) -> None:
        program = self._connections.program
        name = f"age-oauth {program.version}" if program.version else "age-oauth"
        self._program.setText(f"{name} \u2014 {answers.plain(program.place)}" if program.place else "")

    def _chosen_id(self) -> "str | None":
        row = self.list.currentItem()
        return None if row is None else row.data(0, _ID)

    def _chosen(self) -> "Entry | None":
        return self._connections.find(self._chosen_id() or "")

    def _has_changed(self, row: QTreeWidgetItem, column: int) -> None:
        entry = self._connections.find(row.data(0, _ID) or "")
        if self._is_showing or column != 0 or entry is None:
            return
        is_on = row.checkState(0) == Qt.CheckState.Checked
        # Later: the list is filled anew then, and Qt still uses the row that has changed.
        QTimer.singleShot(0, lambda: self._switch(entry.id, is_on))

    def _switch(self, connection_id: str, is_on: bool) -> None:
        entry = self._connections.find(connection_id)
        if entry is not None and is_on != self._connections.is_on(entry.id):
            self._connections.switch(entry, is_on)

    # — what a person does —

    def _main_window(self) -> QWidget:
        return self._iface.mainWindow()  # type: ignore[attr-defined]

    def _open(self, dialog: QDialog) -> None:
        self._windows.add(dialog)
        dialog.finished.connect(lambda _: self._windows.discard(dialog))
        dialog.show()

    def close_all(self) -> None:
        """Ends what goes on, and closes all windows."""
        self.search.close_all()
        for one in list(self._windows):
            one.done(QDialog.DialogCode.Rejected)
        self._windows.clear()

    def add(self) -> None:
        """Lets a person add a connection."""
        self._open(AddDialog(self._connections, self._has_added, self._main_window()))

    def _has_added(self, connection_id: str, kind: str, run: Run) -> None:
        self._warn(run)

        def then() -> None:
            entry = self._connections.find(connection_id)
            if entry is None:
                return
            if kind in WITH_SIGN_IN:
                self.sign_in(entry)
            else:
                self._connections.switch(entry, True)

        self._connections.refresh(then)

    def sign_in(self, entry: "Entry | None", *, switches_user: bool = False) -> None:
        """Lets a person sign in. One sign-in of a connection goes on at a time: a second one would end what the first began."""
        if entry is None:
            return
        for one in list(self._windows):
            if isinstance(one, SignInDialog) and one.connection_id == entry.id:
                if one.is_under_way:
                    one.show()
                    one.raise_()
                    one.activateWindow()
                    return
                one.done(QDialog.DialogCode.Rejected)
        self._open(SignInDialog(self._connections, entry, switches_user, self._has_signed_in, self._main_window()))

    def _has_signed_in(self, entry: Entry, answer: dict, run: Run) -> None:
        self._warn(run)
        who, until = answers.plain(answer.get(names.USERNAME)), answers.local_time(answer.get(names.REFRESH_EXPIRES_AT))
        text = tr("Signed in to {} as {}.").format(answers.plain(entry.label), who)
        if until:
            text = f"{text} {tr('The sign-in ends on {}.').format(until)}"
        tell(self._iface, text, Qgis.MessageLevel.Success, duration=8)
        self._connections.has_signed_in(entry.id)

    def _ask_to_sign_out(self) -> None:
        entry = self._chosen()
        if entry is None:
            return
        text = tr("Sign out of {}? Scripts on this machine that use this connection are signed out, too.")
        question = QMessageBox(self._main_window())
        question.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        question.setObjectName("signOutQuestion")
        question.setIcon(QMessageBox.Icon.Question)
        question.setWindowTitle(TITLE)
        question.setTextFormat(Qt.TextFormat.PlainText)
        question.setText(text.format(answers.plain(entry.label)))
        question.setStandardButtons(QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.Cancel)
        question.buttonClicked.connect(
            lambda pressed: self._sign_out_of(entry)
            if question.standardButton(pressed) == QMessageBox.StandardButton.Yes
            else None
        )
        question.setWindowModality(Qt.WindowModality.WindowModal)
        self._open(question)

    def _sign_out_of(self, entry: Entry) -> None:
        def done(run: Run) -> None:
            name = answers.plain(entry.label)
            self._warn(run)
            if run.error is not None:
                tell(self._iface, f"{name}: {of_error(run.error)}", Qgis.MessageLevel.Warning)
                return
            text = tr("Signed out of {}. QGIS's cache may still hold features that you have seen (Settings, Options, Network).")
            tell(self._iface, text.format(name), Qgis.MessageLevel.Info, duration=12)

        self._connections.sign_out(entry, done)

    def test(self) -> None:
        """Shows what the program finds out about a connection."""
        entry = self._chosen()
        if entry is not None:
            self._open(TestDialog(self._connections, entry, self._main_window()))

    # — messages —

    def _warn(self, run: Run) -> None:
        """Shows what the program has warned of."""
        for one in run.warnings():
            text = answers.plain(one, 1000)
            tell(self._iface, f"{text[:1].upper()}{text[1:]}.", Qgis.MessageLevel.Warning)

    def _notice(self, entry: Entry, state: str) -> None:
        name = answers.plain(entry.label)
        if entry.kind == answers.KEY:
            text = _about_key(entry, state)
        elif state == answers.ENDS_SOON:
            text = tr("The sign-in of {} ends on {}. Sign in again before that.").format(name, _until(entry))
        elif state == "ended":
            text = tr("The sign-in of {} has ended. Its layers do not load until you sign in again.").format(name)
        else:
            text = tr("You are not signed in to {}. Its layers do not load until you sign in.").format(name)
        can_sign_in = entry.kind in WITH_SIGN_IN
        tell(
            self._iface,
            text,
            Qgis.MessageLevel.Warning,
            tr("Sign in") if can_sign_in else tr("Show"),
            (lambda: self.sign_in(entry)) if can_sign_in else self.show,
            about=entry.id,
        )

    def _fail(self, name: str, error: AgeOAuthError) -> None:
        text = of_error(error)
        tell(self._iface, f"{answers.plain(name)}: {text}" if name else text, Qgis.MessageLevel.Warning)


def _state(entry: Entry) -> str:
    state = entry.status.get(names.SIGN_IN)
    who = answers.plain(entry.status.get(names.USERNAME) or "")
    if state == "application":
        return tr("as the application")
    if state in ("good", answers.ENDS_SOON):
        return who or tr("yes")
    return tr("has ended") if state == "ended" else tr("no")


def _until(entry: Entry) -> str:
    if entry.status.get(names.SIGN_IN) not in ("good", answers.ENDS_SOON):
        return ""
    time = entry.status.get(names.API_KEY_EXPIRES_AT) or entry.status.get(names.REFRESH_EXPIRES_AT)
    return answers.local_time(time)


def _about_key(entry: Entry, state: str) -> str:
    name = answers.plain(entry.label)
    if state == answers.ENDS_SOON:
        text = tr("The API key of {} ends on {}. {}").format(name, _until(entry), _change_key(entry))
    else:
        text = tr("The API key of {} has ended, or the portal does not accept it. Its layers do not load until it has another one. {}")
        text = text.format(name, _change_key(entry))
    return text


def _change_key(entry: Entry) -> str:
    # Without its ID, it would change the default connection. A label may need quotes.
    edit = f"age-oauth connections edit {entry.id} --expires DATE"
    if entry.facts[names.API_KEY_COMMAND] is not None:
        # With --api-key-stdin, the connection would forget the command.
        return tr("Put another one where its command finds it, then say at a terminal when that ends: {}").format(edit)
    return tr("Give the connection another one, at a terminal: {}").format(f"{edit} --api-key-stdin")


def _without_windows_sign_in() -> str:
    return tr(
        "QGIS does not answer the Windows sign-in of its web server: layers at the portal's own address do not load with this "
        "connection, those of its servers at other addresses do."
    )
