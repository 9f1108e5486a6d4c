"""The windows for adding a connection, for signing in, and for the results of a test. None of them makes QGIS wait."""

from __future__ import annotations

from collections.abc import Callable

from age_oauth import _json_names as names
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QGuiApplication
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from . import answers
from .connections import Connections, Entry
from .program import Run
from .texts import label, of_error, tr

#: What the program takes for a redirect URI that leads to this machine.
_LOOPBACK = "http://127.0.0.1:8765/callback"


def _progress() -> QProgressBar:
    made = QProgressBar()
    made.setRange(0, 0)
    made.setTextVisible(False)
    made.setVisible(False)
    return made


class AddDialog(QDialog):
    """The fields of a new connection. The program checks them, as it does at a terminal."""

    def __init__(self, connections: Connections, added: "Callable[[str, str, Run], None]", parent: "QWidget | None") -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(tr("Add a connection to an ArcGIS portal"))
        self.setMinimumWidth(520)
        self._connections, self._added = connections, added
        self._run: "Run | None" = None
        self._make_fields()
        self._said = label()
        self._said.setObjectName("addMessage")
        self._busy = _progress()
        self._buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self._ok = self._buttons.button(QDialogButtonBox.StandardButton.Ok)
        self._ok.setText(tr("Add"))
        self._buttons.accepted.connect(self._add)
        self._buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(self._form)
        layout.addWidget(self._said)
        layout.addWidget(self._busy)
        layout.addWidget(self._buttons)
        self._kind.currentIndexChanged.connect(self._show_fields)
        self._code.currentIndexChanged.connect(self._show_fields)
        for one in (self.name, self.portal, self.client_id, self.secret, self.expires):
            one.textChanged.connect(self._show_fields)
        self._show_fields()

    def _make_fields(self) -> None:
        self._form = QFormLayout()
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.name = self._line("addName", tr("your own short name, such as prod"))
        self.portal = self._line("addPortal", "https://gis.example.com/portal")
        self._kind = QComboBox()
        self._kind.setObjectName("addKind")
        for kind, text in (
            ("user", tr("A person signs in with a browser")),
            ("app", tr("The application itself, with its client secret")),
            ("network", tr("You, as the web server in front of the portal knows you (experimental)")),
            (answers.KEY, tr("An API key that you have; OAuth is safer")),
        ):
            self._kind.addItem(text, kind)
        self.client_id = self._line("addClientId", tr("of the application that is registered in the portal"))
        self.secret = self._line("addSecret", "")
        self.secret.setEchoMode(QLineEdit.EchoMode.Password)
        self.expires = self._line("addExpires", tr("the date on the page of the key at the portal, such as 2027-06-30"))
        self._code = QComboBox()
        self._code.addItem(tr("Paste the code that the portal shows (works everywhere)"), False)
        self._code.addItem(tr("Receive it on this machine (needs a redirect URI with a port)"), True)
        self._redirect_uri = self._line("addRedirectUri", "")
        self._redirect_uri.setText(_LOOPBACK)
        self._authority = self._line("addAuthority", tr("only if the portal's certificate is not known to this machine"))
        browse = QToolButton()
        browse.setText("…")
        browse.clicked.connect(self._browse)
        file = QHBoxLayout()
        file.addWidget(self._authority)
        file.addWidget(browse)
        self._windows = QCheckBox(tr("Answer the Windows sign-in of the web server in front of the portal (experimental)"))
        self._windows.setObjectName("addWindows")
        self._is_unchecked = QCheckBox(tr("Add it without asking the portal"))
        self._rows = (
            (tr("Name"), self.name),
            (tr("Portal URL, as in your browser"), self.portal),
            (tr("Who the tokens are for"), self._kind),
            (tr("Client ID"), self.client_id),
            (tr("Client secret"), self.secret),
            (tr("Expires on"), self.expires),
            (tr("Authorization code"), self._code),
            (tr("Redirect URI, as registered"), self._redirect_uri),
        )
        for text, field in self._rows:
            self._form.addRow(text, field)
        self._form.addRow(tr("Certificate authority (file)"), file)
        self._form.addRow("", self._windows)
        self._form.addRow("", self._is_unchecked)

    def _line(self, name: str, example: str) -> QLineEdit:
        made = QLineEdit()
        made.setObjectName(name)
        made.setPlaceholderText(example)
        return made

    def _browse(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, tr("Certificate authority"), "", tr("Certificates (*.pem *.crt *.cer);;All files (*)")
        )
        if path:
            self._authority.setText(path)

    def _show_fields(self, *_: object) -> None:
        kind = self._kind.currentData()
        shown = {
            self.client_id: kind in answers.Settings.WITH_CLIENT_ID,
            self.secret: kind in answers.Settings.SECRETS,
            self.expires: kind == answers.KEY,
            self._code: kind == "user",
            self._redirect_uri: kind == "user" and bool(self._code.currentData()),
        }
        for field, is_shown in shown.items():
            field.setVisible(is_shown)
            self._form.labelForField(field).setVisible(is_shown)
        self._form.labelForField(self.secret).setText(tr("API key") if kind == answers.KEY else tr("Client secret"))
        self._windows.setVisible(kind not in answers.Settings.KNOWN_BY_WEB_SERVER)
        needed = [self.name, self.portal, *(one for one in (self.client_id, self.secret, self.expires) if shown[one])]
        self._ok.setEnabled(self._run is None and all(one.text().strip() for one in needed))

    def _settings(self) -> answers.Settings:
        made = answers.Settings(self.name.text(), self.portal.text(), self._kind.currentData())
        made.client_id = self.client_id.text()
        made.secret = self.secret.text()
        made.expires = self.expires.text()
        made.redirect_uri = self._redirect_uri.text() if self._code.currentData() else ""
        made.authority = self._authority.text()
        made.answers_windows_sign_in = self._windows.isChecked()
        made.is_checked = not self._is_unchecked.isChecked()
        return made

    def _add(self) -> None:
        settings = self._settings()
        if not settings.authority_is_file():
            self._said.setText(tr("Certificate authority: choose a file, or give the whole path of one that exists."))
            return
        self._said.setText(tr("The portal is being asked …"))
        self._busy.setVisible(True)
        self._run = self._connections.add(settings, self._has_added)
        self._show_fields()

    def _has_added(self, run: Run) -> None:
        self._run = None
        self._busy.setVisible(False)
        self._show_fields()
        if run.error is not None:
            self._said.setText("" if run.is_canceled else of_error(run.error))
            return
        self.secret.clear()
        made = answers.answer(run.out)
        made = made if isinstance(made, dict) else {}
        self._added(str(made.get(names.ID)), str(made.get(names.AUTH_TYPE)), run)
        self.accept()

    def reject(self) -> None:
        """Cancels what goes on; without that, closes."""
        if self._run is not None:
            self._run.cancel()
            return
        self.secret.clear()
        super().reject()


class SignInDialog(QDialog):
    """A sign-in that goes on in the browser, and a field for what the portal shows at its end."""

    def __init__(
        self,
        connections: Connections,
        entry: Entry,
        switches_user: bool,
        ended: "Callable[[Entry, dict, Run], None]",
        parent: "QWidget | None",
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(tr("Sign in to {}").format(answers.plain(entry.label)))
        self.setMinimumWidth(520)
        self._entry, self._ended = entry, ended
        self._answer: dict = {}
        shown = answers.plain(entry.label), answers.plain(entry.portal_url)
        self._said = label(tr("Starting the sign-in of {} at {} …").format(*shown))
        self._said.setObjectName("signInMessage")
        self.address = QLineEdit()
        self.address.setObjectName("signInAddress")
        self.address.setReadOnly(True)
        self._copy = QPushButton(tr("Copy"))
        self._copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.address.text()))
        self.code = QLineEdit()
        self.code.setObjectName("signInCode")
        self._send = QPushButton(tr("Continue"))
        self._send.setObjectName("signInContinue")
        self._send.setDefault(True)
        self._send.clicked.connect(self._send_code)
        self.code.textChanged.connect(self._show)
        self._busy = _progress()
        self._busy.setVisible(True)
        self._close = QPushButton(tr("Cancel"))
        self._close.setAutoDefault(False)
        self._copy.setAutoDefault(False)
        self._close.clicked.connect(self.reject)
        self._lay_out()
        self._is_sent = False
        self._run: "Run | None" = connections.sign_in(entry.id, switches_user, self._has_said, self._has_ended)
        self._show()

    @property
    def connection_id(self) -> str:
        """Whose sign-in this is."""
        return self._entry.id

    @property
    def is_under_way(self) -> bool:
        """Whether the sign-in goes on; otherwise the window shows why it has failed."""
        return self._run is not None

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.addWidget(self._said)
        self._address_label = label(tr("If no browser opened, open this address yourself, on any device:"))
        layout.addWidget(self._address_label)
        line = QHBoxLayout()
        line.addWidget(self.address)
        line.addWidget(self._copy)
        layout.addLayout(line)
        self._code_label = label()
        layout.addWidget(self._code_label)
        line = QHBoxLayout()
        line.addWidget(self.code)
        line.addWidget(self._send)
        layout.addLayout(line)
        layout.addWidget(self._busy)
        line = QHBoxLayout()
        line.addStretch()
        line.addWidget(self._close)
        layout.addLayout(line)

    def _show(self, *_: object) -> None:
        has_address = bool(self.address.text())
        is_open = self._run is not None
        for one in (self._address_label, self.address, self._copy, self._code_label, self.code, self._send):
            one.setVisible(has_address and is_open)
        self.code.setEnabled(not self._is_sent)
        self._send.setEnabled(not self._is_sent and bool(self.code.text().strip()))
        self._busy.setVisible(is_open)
        self._close.setText(tr("Cancel") if is_open else tr("Close"))

    def _has_said(self, answer: dict) -> None:
        if isinstance(answer.get(names.AUTHORIZE_URL), str):
            self.address.setText(answer[names.AUTHORIZE_URL])
            self.address.setCursorPosition(0)
            expects_code = answer.get(names.EXPECTS) != "callback"
            text = tr("Sign in to {} in the browser window that was opened.")
            self._said.setText(text.format(answers.plain(self._entry.label)))
            self._code_label.setText(
                tr("Then paste the code that the portal shows:")
                if expects_code
                else tr("If the browser shows an error at the end, paste the address that it shows; otherwise nothing is to do:")
            )
            self._show()
        else:
            self._answer = answer

    def _send_code(self) -> None:
        code = self.code.text().strip()
        if self._run is None or self._is_sent or not code:
            return
        self._is_sent = True
        self.code.clear()
        self._said.setText(tr("The sign-in is being completed …"))
        self._run.write(code)
        self._show()

    def _has_ended(self, run: Run) -> None:
        self._run = None
        self.code.clear()
        if run.error is None:
            self._ended(self._entry, self._answer, run)
            self.accept()
        elif run.is_canceled:
            super().reject()
        else:
            self._said.setText(of_error(run.error))
            self._show()

    def reject(self) -> None:
        """Cancels the sign-in; after its end, closes."""
        if self._run is None:
            super().reject()
        elif not self._run.is_canceled:
            self._said.setText(tr("The sign-in is being canceled …"))
            self._run.cancel()


class TestDialog(QDialog):
    """What ``whoami`` and ``doctor`` say of a connection."""

    def __init__(self, connections: Connections, entry: Entry, parent: "QWidget | None") -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(tr("Test of {}").format(answers.plain(entry.label)))
        self.resize(640, 360)
        self._said = QPlainTextEdit()
        self._said.setObjectName("testResult")
        self._said.setReadOnly(True)
        self._busy = _progress()
        self._busy.setVisible(True)
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        for one in (self._said, self._busy, close):
            layout.addWidget(one)
        chosen = ["--connection-id", entry.id, "--json"]
        self._runs = [connections.program.run(["whoami", *chosen], self._has_answered)]
        self._runs.append(connections.program.run(["doctor", *chosen], self._has_checked))

    def _has_answered(self, run: Run) -> None:
        self._end(run)
        if run.error is not None:
            self._line("whoami", of_error(run.error))
            return
        found = answers.answer(run.out)
        found = found if isinstance(found, dict) else {}
        who = found.get(names.USERNAME) or found.get(names.APPLICATION) or found.get(names.APP_ID)
        self._line("whoami", tr("The portal knows you as {}.").format(answers.plain(who)))

    def _has_checked(self, run: Run) -> None:
        self._end(run)
        found = answers.answer(run.out)
        checks = found.get(names.CHECKS) if isinstance(found, dict) else None
        if not isinstance(checks, list):
            self._line("doctor", of_error(run.error) if run.error is not None else tr("doctor said nothing."))
            return
        for one in checks:
            if isinstance(one, dict):
                hint = f" ({answers.plain(one.get(names.HINT), 1000)})" if one.get(names.HINT) else ""
                self._line(str(one.get(names.SEVERITY)), answers.plain(one.get(names.MESSAGE), 1000) + hint)

    def _end(self, run: Run) -> None:
        self._runs.remove(run)
        self._busy.setVisible(bool(self._runs))

    def _line(self, what: str, text: str) -> None:
        self._said.appendPlainText(f"[{what}] {text}")

    def done(self, result: int) -> None:
        """Ends what goes on."""
        for run in list(self._runs):
            run.close()
        self._runs = []
        super().done(result)
