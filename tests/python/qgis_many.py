"""Fifty layers at once, drawn by several threads."""

import sys

from qgis_support import done, feature_layer, map_layer, until
from qgis.core import QgsMapRendererParallelJob, QgsMapSettings, QgsRectangle
from qgis.PyQt.QtCore import QSize

import age_oauth.qgis

roads, land = sys.argv[1:]
age_oauth.qgis.enable("prod")
layers = [feature_layer(roads) for _ in range(25)] + [map_layer(land) for _ in range(25)]
assert all(layer.isValid() for layer in layers)
settings = QgsMapSettings()
settings.setLayers(layers)
settings.setDestinationCrs(layers[0].crs())
settings.setExtent(QgsRectangle(0, 40, 20, 60))
settings.setOutputSize(QSize(64, 64))
job = QgsMapRendererParallelJob(settings)
job.start()
until(lambda: not job.isActive())
assert not job.errors(), [one.message for one in job.errors()]
done()
