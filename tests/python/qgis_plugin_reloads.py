"""The plugin is loaded and unloaded 20 times, and leaves nothing."""

import sys

import qgis.utils
from qgis_desktop import *
from qgis.core import Qgis, QgsApplication, QgsSettings
from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtWidgets import QAction, QDockWidget

#: Where QGIS keeps its ArcGIS connections.
ROOT = "connections/arcgisfeatureserver/items" if Qgis.QGIS_VERSION_INT >= 33000 else "qgis/connections-arcgisfeatureserver"

#: Entries that the plugin has not made: their name, and their address.
OTHERS, ADDRESS = "prod (age-oauth)", "https://other.example/rest/services"


def parts():
    main = iface.mainWindow()
    return (
        sum(one.objectName() == "ageOAuthAction" for one in main.findChildren(QAction)),
        sum(one.objectName() == "AgeOAuthPanel" for one in main.findChildren(QDockWidget)),
    )


def test():
    install()
    import age_oauth.qgis

    open_panel()
    row(plugin().panel.list, "prod")
    tick("prod")
    until(lambda: entries() == ["prod (age-oauth)"], "the entry in the browser panel")
    plugin().panel._notice(plugin().connections.entries[0], "ended")
    assert any("has ended" in one for one in messages()), messages()
    for number in range(20):
        assert qgis.utils.unloadPlugin(NAME)
        until(lambda: parts() == (0, 0), "what was shown is gone")
        assert age_oauth.qgis._hook is None
        until(lambda: not find("ageOAuthMessageButton"), "the message is gone")
        assert sorted(entries()) == ([OTHERS, "z"] if number else []), entries()
        # Entries of someone else, one of them with the name that the plugin would choose.
        for name in (OTHERS, "z"):
            QgsSettings().setValue(f"{ROOT}/{name}/url", ADDRESS)
        assert qgis.utils.loadPlugin(NAME) and qgis.utils.startPlugin(NAME)
        assert parts() == (1, 1), parts()
        # Sometimes at once, sometimes after all has been read.
        if number % 2:
            until(lambda: f"{OTHERS} 2" in entries(), "the entry in the browser panel")
            until(lambda: is_on("prod"), "the connection is on")
    until(lambda: is_on("prod"), "the connection is on")
    # What is disabled in the console while QGIS starts stays so.
    assert qgis.utils.unloadPlugin(NAME)
    assert qgis.utils.loadPlugin(NAME) and qgis.utils.startPlugin(NAME)
    age_oauth.qgis.disable()
    for _ in range(2):
        until(lambda: plugin().connections.entries and not plugin().connections.is_busy, "the connections are read")
        plugin().connections.refresh()
    until(lambda: not plugin().connections.is_busy, "the connections are read again")
    assert age_oauth.qgis._hook is None
    # QGIS ends with a message.
    plugin().panel._notice(plugin().connections.entries[0], "ended")
    until(lambda: sorted(entries()) == [OTHERS, f"{OTHERS} 2", "z"], "the entries")
    assert {QgsSettings().value(f"{ROOT}/{name}/url") for name in (OTHERS, "z")} == {ADDRESS}
    expect_one_call_at_the_end()


def expect_one_call_at_the_end():
    """QGIS that is closed waits once for the threads of its tasks, and not once for each time that the plugin was loaded."""
    calls, manager = [], QgsApplication.taskManager

    def count():
        calls.append(1)
        return manager()

    def check():
        if len(calls) != 1:
            print(f"Traceback: {len(calls)} calls", file=sys.stderr)
            leave(1)

    QgsApplication.taskManager = staticmethod(count)
    # After the functions that are connected already.
    QCoreApplication.instance().aboutToQuit.connect(check)


def entries():
    settings = QgsSettings()
    settings.beginGroup(ROOT)
    found = settings.childGroups()
    settings.endGroup()
    return found


run(test)
