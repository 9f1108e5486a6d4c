"""QGIS is started with a project, after the connection was switched on in an earlier run."""

import qgis.utils
from qgis_desktop import *

# The project was opened before this script began, and its layers are there at once.
opened = [(one.name(), one.isValid()) for one in layers()]


def test():
    assert sorted(opened) == [("Land", True), ("Roads", True)], opened
    assert {one.featureCount() for one in layers() if one.name() == "Roads"} == {7}
    open_panel()
    until(lambda: is_on("prod"), "the connection is on")
    draw()
    picture("opened")
    # QGIS's own figure, such as "0.02s": processor time of the plugin and its imports.
    figure("start", float(qgis.utils.plugin_times[NAME].rstrip("s")) * 1000)


run(test)
