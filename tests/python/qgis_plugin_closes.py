"""QGIS is closed after a thread of its tasks has ended, has begun again and has opened a layer for the panel."""

import os

from qgis_desktop import *

from qgis.core import QgsApplication, QgsTask, QgsVectorLayer
from qgis.PyQt.QtCore import QThread, QThreadPool
from qgis.utils import unloadPlugin

_HALF_A_MINUTE = 30_000


def pool():
    """The threads of QGIS's tasks. Before 3.38, they are those of all pools."""
    manager = QgsApplication.taskManager()
    return manager.threadPool() if hasattr(manager, "threadPool") else QThreadPool.globalInstance()


def a_thread_ends():
    """A thread has asked a server, and has ended, as one does half a minute later."""
    threads = pool()
    threads.waitForDone()
    threads.setExpiryTimeout(0)
    used = []

    def ask(_task):
        QgsVectorLayer("crs='EPSG:3857' url='https://127.0.0.1:9/rest/services/a/FeatureServer/0'", "", "arcgisfeatureserver")
        used.append(QThread.currentThread())

    task = QgsTask.fromFunction("ask", ask)
    QgsApplication.taskManager().addTask(task)
    until(lambda: used and used[0].isFinished(), "the end of a thread")
    threads.setExpiryTimeout(_HALF_A_MINUTE)


def test():
    install()
    open_panel()
    row(plugin().panel.list, "prod")
    tick("prod")
    until(lambda: is_on("prod"), "the connection is on")
    plugin().panel._tabs.setCurrentIndex(1)
    click("searchStart")
    results = shown("searchResults")
    found = row(results, "Roads")
    a_thread_ends()
    double_click(results, found)
    until(lambda: layers(), "the layer")
    # QGIS 3.22 can wait without end for a drawing that is canceled by the close.
    draw()
    if os.environ["AGE_OAUTH_TEST_UNLOADS"] == "1":
        assert unloadPlugin(NAME)


run(test)
