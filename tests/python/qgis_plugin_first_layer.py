"""From nothing to a rendered layer, as a person who has installed the plugin goes."""

import os

from qgis.PyQt.QtWidgets import QComboBox, QDockWidget, QTreeView
from qgis_desktop import *


#: A service of another user.
OTHERS = "Roads of the portal"


def in_browser(*names):
    """The names below an item of QGIS's browser panel, which is found by the names that lead to it; empty while they are read."""
    model = iface.browserModel()
    index = model.findPath("arcgisfeatureserver:")
    for name in names:
        index = next((one for one in below(model, index) if model.data(one) == name), None)
        if index is None:
            return []
    return [model.data(one) for one in below(model, index)]


def below(model, index):
    if model.canFetchMore(index):
        model.fetchMore(index)
    return [model.index(at, 0, index) for at in range(model.rowCount(index))]


def picture_of_browser(*names):
    """Opens QGIS's browser panel at these names, and stores a picture of it."""
    dock = iface.mainWindow().findChild(QDockWidget, "Browser")
    tree = dock.findChild(QTreeView)
    index = tree.rootIndex()
    for name in names:
        index = next(one for one in below(tree.model(), index) if tree.model().data(one) == name)
        tree.expand(index)
    tree.scrollTo(index, QTreeView.ScrollHint.PositionAtBottom)
    tree.setCurrentIndex(index)
    picture("7-browser", dock)


def finds(panel, titles, **choices):
    """The search finds these services and no others with these choices of its lists, which stay."""
    for name, text in choices.items():
        choice = panel.search.findChild(QComboBox, f"search{name}")
        choice.setCurrentIndex(choice.findText(text))
    results = shown("searchResults")
    click("searchStart")
    until(lambda: sorted(one.text(0) for one in rows(results)) == sorted(titles), f"{titles} with {choices}")


def added(results, title):
    """The layer that a double click on this result adds."""
    double_click(results, row(results, title))
    layer = until(lambda: next((one for one in layers() if one.name() == title), None), title)
    assert layer.isValid(), layer.error().summary()
    return layer


def test():
    install()
    with Holds() as holds, Stops() as stops:
        steps()
    figure("hold", max(holds.all.values()) * 1000)
    figure("hold-processor", holds.processor * 1000)
    for place, seconds in sorted(holds.all.items(), key=lambda one: -one[1])[:4]:
        figure(f"hold-in-{place}", seconds * 1000)
    figure("stop", stops.longest * 1000)


def steps():
    panel = open_panel()
    until(lambda: "no connections" in text_of("connectionAbout"), "the first text")
    picture("1-first")
    click("addConnection")
    adding = window("AddDialog")
    for name, variable in (("addName", "NAME"), ("addPortal", "PORTAL"), ("addClientId", "CLIENT"), ("addAuthority", "AUTHORITY")):
        enter(name, os.environ[f"AGE_OAUTH_TEST_{variable}"], adding)
    picture("2-add", adding)
    press("Add", adding)
    opened = window("SignInDialog")
    until(lambda: text_of("signInAddress", opened), "the address")
    picture("3-sign-in", opened)
    sign_in()
    label = os.environ["AGE_OAUTH_TEST_NAME"]
    until(lambda: is_on(label), "the connection is on")
    until(lambda: any("Signed in" in one for one in messages()), "a message")
    picture("4-signed-in")
    # For the documents, with the program where it is usually installed.
    program = plugin().connections.program
    until(lambda: program.version, "the version of the program")
    program._has_described("/usr/local/bin/age-oauth", program.version)
    panel.list.setCurrentItem(row(panel.list, label))
    picture("4-panel", panel)

    # QGIS's own browser panel has the portal's groups.
    entry = f"{label} (age-oauth)"
    until(lambda: in_browser() == [entry], "the entry")
    until(lambda: "Groups" in in_browser(entry), "what the entry has")
    until(lambda: in_browser(entry, "Groups") == ["Streets and land"], "the groups")
    until(lambda: len(in_browser(entry, "Groups", "Streets and land")) == 2, "the items of the group")
    picture_of_browser("ArcGIS REST Servers", entry, "Groups", "Streets and land")

    panel._tabs.setCurrentIndex(1)
    click("searchStart")
    results = shown("searchResults")
    row(results, "Roads")
    picture("5-found")
    finds(panel, ["Roads", "Land"], Whose="My groups")
    picture("5-groups", panel)
    finds(panel, ["Land"], Kind="Map services")
    finds(panel, ["Hills"], Kind="Image services", Whose="Mine")
    finds(panel, ["Roads", "Land", "Hills"], Kind="All services")
    finds(panel, ["Roads", "Land", "Hills", OTHERS], Whose="My organization")
    hills = added(results, "Hills")
    assert not hills.extent().isEmpty()
    QgsProject.instance().removeMapLayer(hills)
    added(results, "Land")
    roads = added(results, "Roads")
    assert roads.featureCount() == 7
    draw()
    picture("6-layers")
    assert QgsProject.instance().write(os.path.join(os.environ["HOME"], "project.qgz"))


run(test)
