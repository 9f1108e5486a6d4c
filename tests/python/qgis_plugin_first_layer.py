"""From nothing to a rendered layer, as a person who has installed the plugin goes."""

import os

from qgis_desktop import *


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


def added(results, title):
    """The layer that a double click on this result adds."""
    double_click(results, row(results, title))
    layer = until(lambda: next((one for one in layers() if one.name() == title), None), title)
    assert layer.isValid(), layer.error().summary()
    return layer


def test():
    install()
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

    # QGIS's own browser panel has the portal's groups.
    entry = f"{label} (age-oauth)"
    until(lambda: in_browser() == [entry], "the entry")
    until(lambda: "Groups" in in_browser(entry), "what the entry has")
    until(lambda: in_browser(entry, "Groups") == ["Streets and land"], "the groups")
    until(lambda: len(in_browser(entry, "Groups", "Streets and land")) == 2, "the items of the group")

    panel._tabs.setCurrentIndex(1)
    click("searchStart")
    results = shown("searchResults")
    row(results, "Roads")
    picture("5-found")
    hills = added(results, "Hills")
    assert not hills.extent().isEmpty()
    QgsProject.instance().removeMapLayer(hills)
    added(results, "Land")
    with Stops() as stops:
        roads = added(results, "Roads")
    assert roads.featureCount() == 7
    iface.mapCanvas().waitWhileRendering()
    picture("6-layers")
    figure(f"longest stop {stops.longest * 1000:.0f} ms")
    assert QgsProject.instance().write(os.path.join(os.environ["HOME"], "project.qgz"))


run(test)
