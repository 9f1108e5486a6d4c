"""Features are added, changed and deleted, from QGIS 3.26 on; an edit that the server refuses is told."""

import os

from qgis_desktop import *
from qgis.core import Qgis, QgsFeature, QgsGeometry, QgsPointXY, QgsVectorDataProvider


def change(layer):
    assert layer.startEditing()
    oak = QgsFeature(layer.fields())
    oak.setAttribute("NAME", "Oak Street")
    oak.setAttribute("CLASS", 2)
    oak.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(9, 50)))
    assert layer.addFeature(oak)
    found = {one["NAME"]: one.id() for one in layer.getFeatures()}
    assert layer.changeAttributeValue(found["Birch Street"], layer.fields().lookupField("NAME"), "Birch Lane")
    assert layer.deleteFeature(found["Aspen Street"])
    return layer.commitChanges()


def test():
    install()
    row(open_panel().list, "prod")
    tick("prod")
    until(lambda: is_on("prod"), "the connection is on")
    layer = feature_layer(os.environ["AGE_OAUTH_TEST_LAYER"])
    QgsProject.instance().addMapLayer(layer)
    assert layer.isValid() and layer.featureCount() == 7
    if Qgis.QGIS_VERSION_INT < 32600:
        assert not layer.dataProvider().capabilities() & QgsVectorDataProvider.Capability.AddFeatures
        say("too old")
        return
    assert change(layer), layer.commitErrors()
    say("saved")
    assert hear() == "refused"
    assert layer.startEditing()
    assert layer.deleteFeature(next(one.id() for one in layer.getFeatures() if one["NAME"] == "Fir Street"))
    layer.commitChanges()
    until(lambda: any("NOT saved" in one for one in messages()), "the message")
    picture("refused")


run(test)
