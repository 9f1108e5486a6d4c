"""A redirect from the portal to a foreign host: of a layer, and of code that lets Qt follow redirects by itself."""

import sys

from qgis_support import done, feature_layer, named, trust_everywhere, until
from qgis.core import QgsNetworkAccessManager
from qgis.PyQt.QtNetwork import QNetworkRequest

import age_oauth.qgis

authority, layer = sys.argv[1:]
trust_everywhere(authority)
age_oauth.qgis.enable("prod")
assert not feature_layer(layer).isValid()
# Without a token in memory, the main thread would not sign.
request = named(f"{layer}?f=json&again=1", "QgsArcGisRestUtils")
request.setAttribute(
    QNetworkRequest.Attribute.RedirectPolicyAttribute, QNetworkRequest.RedirectPolicy.NoLessSafeRedirectPolicy
)
reply = QgsNetworkAccessManager.instance().get(request)
until(reply.isFinished)
assert reply.request().hasRawHeader(b"X-Esri-Authorization")
assert reply.attribute(QNetworkRequest.Attribute.HttpStatusCodeAttribute) == 302
done()
