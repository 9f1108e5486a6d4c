"""The plugin's texts are in QGIS's language as long as it is loaded."""

import qgis.utils
from qgis_desktop import *
from qgis.core import QgsSettings


def title():
    return QCoreApplication.translate("AgeOAuth", "ArcGIS portals")


def test():
    QgsSettings().setValue("locale/overrideFlag", True)
    QgsSettings().setValue("locale/userLocale", "de_AT")
    assert title() == "ArcGIS portals"
    install()
    assert open_panel().windowTitle() == title() == "ArcGIS-Portale"
    # What has no translation stays as it is.
    assert shown("refreshConnections").text() == "Refresh"
    picture("german")
    assert qgis.utils.unloadPlugin(NAME)
    assert title() == "ArcGIS portals"
    QgsSettings().setValue("locale/userLocale", "fr")
    assert qgis.utils.loadPlugin(NAME) and qgis.utils.startPlugin(NAME)
    assert open_panel().windowTitle() == "ArcGIS portals"


run(test)
