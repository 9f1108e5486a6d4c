"""What QGIS calls: the plugin is loaded, and unloaded."""

from __future__ import annotations

import os

from age_oauth import qgis as engine
from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication, Qt
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QAction

from .connections import Connections
from .panel import Panel
from .texts import close_messages, tr
from .translation import install, remove

_MENU = "age-oauth"

#: QGIS that is closed waits here for tasks that end late, so many milliseconds. Afterwards, it
#: waits for them by itself, without a limit.
_TASKS_TIMEOUT = 20_000

#: A property of the application: the function that it calls when it ends.
_AT_THE_END = "ageOAuthAtTheEnd"


class Plugin:
    """The plugin of one QGIS."""

    def __init__(self, iface: object) -> None:
        self._iface = iface
        self.connections: "Connections | None" = None
        self.panel: "Panel | None" = None

    def initGui(self) -> None:  # noqa: N802 (QGIS calls it so)
        """Adds the panel and its button."""
        install()
        self.connections = Connections(self._iface)
        self.panel = Panel(self._iface, self.connections)
        self._iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.panel)
        self.panel.hide()
        icon = QIcon(os.path.join(os.path.dirname(os.path.abspath(__file__)), "icon.svg"))
        self._action = QAction(icon, tr("ArcGIS portals"), self._iface.mainWindow())
        self._action.setObjectName("ageOAuthAction")
        self._action.setCheckable(True)
        self._action.toggled.connect(self._show)
        self.panel.visibilityChanged.connect(self._has_shown)
        self._iface.addToolBarIcon(self._action)
        self._iface.addPluginToWebMenu(_MENU, self._action)
        _end_threads_at_the_end()
        self.connections.start()

    def _show(self, is_shown: bool) -> None:
        if is_shown:
            self.panel.show()
            self.panel.raise_()
        elif not self.panel.isHidden():
            self.panel.hide()

    def _has_shown(self, _is_visible: bool) -> None:
        # A panel behind another one is not visible, but was not closed.
        is_shown = not self.panel.isHidden()
        if self._action.isChecked() != is_shown:
            self._action.blockSignals(True)
            self._action.setChecked(is_shown)
            self._action.blockSignals(False)

    def unload(self) -> None:
        """Takes everything away again."""
        remove()
        if self.connections is None or self.panel is None:
            return
        self.panel.close_all()
        close_messages(self._iface)
        self.connections.close()
        self._iface.removeToolBarIcon(self._action)
        self._iface.removePluginWebMenu(_MENU, self._action)
        self._action.deleteLater()
        self.panel.visibilityChanged.disconnect(self._has_shown)
        self._iface.removeDockWidget(self.panel)
        self.panel.deleteLater()
        self.connections = self.panel = None


def _end_threads_at_the_end() -> None:
    """Not taken away by :meth:`Plugin.unload`, because the threads stay for half a minute. So the application knows which function
    it calls: that of a version that was loaded before is replaced."""
    application = QCoreApplication.instance()
    before = application.property(_AT_THE_END)
    if before is not None:
        application.aboutToQuit.disconnect(before)
    application.aboutToQuit.connect(_end_threads)
    application.setProperty(_AT_THE_END, _end_threads)


def _end_threads() -> None:
    """Ends the threads of QGIS's tasks, such as those that have opened layers. QGIS 3.40 crashes if one of them ends after the
    store of sign-ins that it has used for a request (``QgsAuthConfigurationStorageDb``): when QGIS is closed, it ends the threads of
    drawings before that, and those of tasks after it."""
    # First: a task may wait for a token.
    engine.disable()
    manager = QgsApplication.taskManager()
    # QGIS before 3.38 runs tasks in the threads of drawings.
    if hasattr(manager, "threadPool"):
        # As QGIS itself does later.
        manager.cancelAll()
        manager.threadPool().waitForDone(_TASKS_TIMEOUT)
