"""Texts for people, shown as they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from age_oauth.errors import AgeOAuthError
from qgis.core import Qgis
from qgis.PyQt import sip
from qgis.PyQt.QtCore import Qt, QTimer
from qgis.PyQt.QtWidgets import QHeaderView, QLabel, QPushButton, QTreeWidget, QWidget

from . import answers
from .translation import tr

TITLE = "age-oauth"

#: The property of a message that names its connection.
_ABOUT = "ageOAuthConnection"


def label(text: str = "", parent: "QWidget | None" = None) -> QLabel:
    """A label that shows its text as it is: what a portal or a file says must not be taken for HTML, which loads pictures."""
    made = QLabel(parent)
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setWordWrap(True)
    made.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    made.setText(text)
    return made


def of_error(error: AgeOAuthError) -> str:
    """What went wrong, and what to do, as sentences."""
    text = answers.plain(error.message, 1000)
    text = f"{text[:1].upper()}{text[1:]}."
    if error.hint:
        text = f"{text} {tr('What to do:')} {answers.advice(error.hint, tr)}."
    return text


def fit_columns(tree: QTreeWidget) -> None:
    """Shows the first column as wide as there is room, and the others as wide as they need."""
    header = tree.header()
    header.setStretchLastSection(False)
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    header.setMinimumSectionSize(60)


def tell(
    iface: object,
    text: str,
    level: "Qgis.MessageLevel",
    button: "str | None" = None,
    action: "Callable[[], None] | None" = None,
    duration: int = 0,
    about: str = "",
) -> None:
    """Shows a message in QGIS's message bar, with a button if there is something to do. ``about`` is the ID of the connection
    whose state it tells."""
    bar = iface.messageBar()  # type: ignore[attr-defined]
    item = bar.createMessage("")
    item.setProperty(_ABOUT, about)
    item.layout().addWidget(label(text), 1)
    pressed = None
    if button is not None and action is not None:
        pressed = QPushButton(button)
        pressed.setObjectName("ageOAuthMessageButton")
        # Later: with the message, the button is deleted that calls this.
        pressed.clicked.connect(lambda: QTimer.singleShot(0, lambda: _act(bar, item, action)))
        item.layout().addWidget(pressed)
    _shown[id(item)] = item, pressed
    item.destroyed.connect(partial(_forget, id(item)))
    bar.pushWidget(item, level, duration)


#: The messages in the bar, and their buttons. Python does not know that the message bar has them,
#: and would collect what they call. Each is removed by its own end alone, which calls Python.
_shown: "dict[int, tuple[QWidget, QPushButton | None]]" = {}

#: Those that are being taken away: their buttons do nothing any more.
_closed: "set[int]" = set()


def _forget(key: int, *_: object) -> None:
    _shown.pop(key, None)
    _closed.discard(key)


def close_messages(iface: object, about: "str | None" = None) -> None:
    """Takes the messages about a connection out of QGIS's message bar; without one, all: what their buttons do needs the
    plugin."""
    bar = iface.messageBar()  # type: ignore[attr-defined]
    for key, (item, _) in list(_shown.items()):
        if about is not None and (sip.isdeleted(item) or item.property(_ABOUT) != about):
            continue
        _closed.add(key)
        if not sip.isdeleted(item):
            bar.popWidget(item)


def _act(bar: object, item: QWidget, action: "Callable[[], None]") -> None:
    if id(item) in _closed:
        return
    if not sip.isdeleted(item):
        bar.popWidget(item)  # type: ignore[attr-defined]
    action()
