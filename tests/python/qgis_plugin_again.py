"""QGIS is started with a project, after the connection was switched on in an earlier run."""

from qgis_desktop import *

# The project was opened before this script began, and its layers are there at once.
opened = [(one.name(), one.isValid()) for one in layers()]


def test():
    import qgis.utils

    assert sorted(opened) == [("Land", True), ("Roads", True)], opened
    assert {one.featureCount() for one in layers() if one.name() == "Roads"} == {7}
    open_panel()
    until(lambda: is_on("prod"), "the connection is on")
    iface.zoomFull()
    iface.mapCanvas().waitWhileRendering()
    picture("opened")
    figure(f"start of the plugin: {qgis.utils.plugin_times.get(NAME)}")


run(test)
