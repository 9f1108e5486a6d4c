"""QGIS's window under the tests: started by ``qgis --code``, driven through its widgets.

What the tests say and hear goes through standard input and output, in lines that begin with ``>> ``. ``run`` starts a test in
QGIS's own event loop.
"""

import os
import queue
import sys
import threading
import time
import traceback

from qgis.core import QgsProject
from qgis.PyQt.QtCore import QCoreApplication, QEvent, QEventLoop, QPoint, Qt, QTimer
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication, QDialog, QMessageBox, QPushButton, QWidget
from qgis.utils import iface, plugins
from qgis_shared import feature_layer, figure, trust_everywhere, wait_for  # noqa: F401

NAME = "age_oauth_plugin"

_lines = queue.Queue()


def _read():
    for line in sys.stdin:
        _lines.put(line.rstrip("\n"))


def say(text):
    """Says something to the test."""
    print(f">> {text}", flush=True)


def hear():
    """The next line that the test says, while events happen."""
    until(lambda: not _lines.empty(), "a line of the test")
    return _lines.get()


def until(condition, what=""):
    """Lets events happen until something is so. Returns what the condition returned."""

    def met():
        # Qt leaves this to the loop in which it was asked for, which is that of the test here.
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        return condition()

    found = wait_for(met)
    if not found:
        print(f"never: {what}; windows: {[type(one).__name__ for one in windows()]}", file=sys.stderr)
        picture("never")
        traceback.print_stack()
        leave(1)
    return found


def picture(name, widget=None):
    """Stores a picture of the window, or of a part of it, for a person to look at."""
    folder = os.environ["AGE_OAUTH_TEST_PICTURES"]
    os.makedirs(folder, exist_ok=True)
    for _ in range(5):
        QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 50)
    if widget is None:
        made = QApplication.primaryScreen().grabWindow(0)
    else:
        made = widget.grab()
    made.save(os.path.join(folder, f"{name}.png"))


def leave(code):
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run(test):
    """Runs a test once QGIS has started, and closes QGIS."""

    def start():
        try:
            # Without a window manager, QGIS is as large as it was made.
            iface.mainWindow().setGeometry(QApplication.primaryScreen().geometry())
            test()
            QgsProject.instance().clear()
            say("done")
        except BaseException:
            traceback.print_exc()
            picture("failed")
            leave(1)
        QTimer.singleShot(0, iface.actionExit().trigger)

    threading.Thread(target=_read, daemon=True).start()
    QTimer.singleShot(0, start)


def draw():
    """Draws the whole map, after what is being drawn."""
    canvas, drawn = iface.mapCanvas(), []
    until(lambda: not canvas.isDrawing(), "the drawing before")
    canvas.mapCanvasRefreshed.connect(lambda: drawn.append(1))
    canvas.zoomToFullExtent()
    canvas.refresh()
    until(lambda: drawn and not canvas.isDrawing(), "the map is drawn")


def install():
    """Installs the zip as a person does."""
    from pyplugin_installer import instance

    instance().installFromZipFile(os.environ["AGE_OAUTH_TEST_ZIP"])
    assert NAME in plugins, plugins.keys()


def find(name, parent=None):
    """The visible widget with this name."""
    parents = [parent] if parent is not None else [iface.mainWindow(), *windows()]
    for one in parents:
        for found in one.findChildren(QWidget, name):
            if found.isVisible():
                return found
    return None


def windows():
    return [one for one in QApplication.topLevelWidgets() if isinstance(one, QDialog) and one.isVisible()]


def window(kind):
    """The visible window of this class, which the plugin names so."""
    return until(lambda: next((one for one in windows() if type(one).__name__ == kind), None), kind)


def shown(name, parent=None):
    return until(lambda: find(name, parent), name)


def click(name, parent=None):
    button = shown(name, parent)
    until(button.isEnabled, f"{name} can be pressed")
    QTest.mouseClick(button, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, QPoint(10, button.height() // 2))


def press(text, parent):
    """Presses the button with this text."""
    button = until(lambda: next((one for one in parent.findChildren(QPushButton) if one.text() == text), None), text)
    until(button.isEnabled, f"{text} can be pressed")
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def enter(name, text, parent=None):
    field = shown(name, parent)
    field.clear()
    if text.isascii():
        QTest.keyClicks(field, text)
    else:
        # QTest has no keys for other letters.
        field.insert(text)


def text_of(name, parent=None):
    found = find(name, parent)
    return found.text() if found is not None else ""


def plugin():
    return plugins[NAME]


def open_panel():
    if plugin().panel.isHidden():
        plugin()._action.trigger()
    return until(lambda: plugin().panel.isVisible() and plugin().panel, "the panel")


def rows(tree):
    return [tree.topLevelItem(at) for at in range(tree.topLevelItemCount())]


def row(tree, title):
    """The row with this text."""
    return until(lambda: next((one for one in rows(tree) if one.text(0) == title), None), f"the row {title}")


def double_click(tree, item):
    tree.scrollToItem(item)
    place = QPoint(40, tree.visualItemRect(item).center().y())
    QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
    QTest.mouseDClick(tree.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)


def is_on(label):
    """Whether QGIS is signed in with the connection, and the panel shows that."""
    tree, connections = plugin().panel.list, plugin().connections
    shown = any(one.text(0) == label and one.checkState(0) == Qt.CheckState.Checked for one in rows(tree))
    return shown and any(one.label == label and connections.is_on(one.id) for one in connections.entries)


def tick(label):
    """Ticks or unticks the box of a connection."""
    tree = plugin().panel.list
    item = row(tree, label)
    place = QPoint(10, tree.visualItemRect(item).center().y())
    QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)


def sign_in():
    """The steps of a person in the sign-in's window: the test is the browser."""
    opened = window("SignInDialog")
    until(lambda: text_of("signInAddress", opened), "the address")
    say(text_of("signInAddress", opened))
    enter("signInCode", hear(), opened)
    click("signInContinue", opened)


def layers():
    return list(QgsProject.instance().mapLayers().values())


def messages():
    """What the message bar shows."""
    from qgis.PyQt.QtWidgets import QLabel

    bar = iface.messageBar()
    return [one.text() for item in bar.items() for one in item.findChildren(QLabel) if one.text()]


def question():
    return until(lambda: next((one for one in windows() if isinstance(one, QMessageBox)), None), "a question")


class Stops:
    """The longest time in which QGIS's main thread handled no event, for a person to know."""

    def __enter__(self):
        self.longest, self._last = 0.0, time.monotonic()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(1)
        return self

    def _tick(self):
        now = time.monotonic()
        self.longest, self._last = max(self.longest, now - self._last), now

    def __exit__(self, *_):
        self._timer.stop()


class Holds:
    """The longest times for which the plugin or the package has held QGIS's main thread at once, by places, and the longest
    processor's time, which a busy machine does not change. A little more than without this measurement."""

    def __enter__(self):
        self.all, self.processor = {}, 0.0
        self._frame, self._began = None, (0.0, 0.0)
        sys.setprofile(self._look)
        return self

    def _look(self, frame, event, _argument):
        if event == "call" and self._frame is None and f"/{NAME}/" in frame.f_code.co_filename:
            self._frame, self._began = frame, (time.perf_counter(), time.thread_time())
        elif event == "return" and frame is self._frame:
            took = time.perf_counter() - self._began[0]
            self.processor = max(self.processor, time.thread_time() - self._began[1])
            self._frame = None
            place = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_code.co_name}"
            self.all[place] = max(took, self.all.get(place, 0.0))

    def __exit__(self, *_):
        sys.setprofile(None)
