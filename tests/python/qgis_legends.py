"""Map layers are loaded again while their legend is on its way, with their metadata and without it, and QGIS lives."""

import sys

from qgis_support import LONG, application, color, done, map_layer, trust_everywhere, until
from qgis.core import QgsLayerTreeModel, QgsNetworkAccessManager, QgsProject
from qgis.PyQt.QtCore import Qt

import age_oauth.qgis
from age_oauth import _signer

authority, land, red, green, blue = sys.argv[1:]
expected = int(red), int(green), int(blue)
trust_everywhere(authority)
project = QgsProject.instance()
model = QgsLayerTreeModel(project.layerTreeRoot())


def shown(layer):
    """What the panel with the layers asks for when it is painted: the legend, which is fetched."""
    for node in model.layerLegendNodes(project.layerTreeRoot().findLayer(layer)):
        node.data(Qt.ItemDataRole.DecorationRole)


def added():
    layer = map_layer(land)
    project.addMapLayer(layer)
    application.processEvents()
    return layer


def is_under_way():
    return any(age_oauth.qgis._is_under_way(reply) for _, reply in hook._layers._sent)


def reload(*late):
    """Loads layers again before any event happens."""
    for one in late:
        hook.signer._late[_signer.address(one)] = None
    hook._layers._reload()


for number in range(4):
    # The metadata was missed, and the legend is on its way.
    early = added()
    assert color(early) != expected
    age_oauth.qgis.enable("prod")
    hook = age_oauth.qgis._hook
    shown(early)
    assert hook.signer.answer(land, LONG).token and is_under_way()
    reload(land, f"{land}/legend")
    assert is_under_way()
    until(lambda: color(early) == expected)
    # The metadata is there, and the legend is on its way.
    layer = added()
    shown(layer)
    assert is_under_way()
    reload(land)
    assert is_under_way()
    reload(land, f"{land}/legend")
    assert is_under_way()
    until(lambda: not hook._layers._waiting and not is_under_way())
    for one in (early, layer):
        shown(one)
        until(lambda: not is_under_way())
        assert color(one) == expected
    age_oauth.qgis.disable()
    QgsNetworkAccessManager.instance().cache().clear()
done()
