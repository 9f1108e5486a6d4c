"""Exceptions of every kind within a request: QGIS lives, and the request goes on without a token."""

import sys
from unittest import mock

from qgis_support import done, feature_layer, opens, roads, trust_everywhere

import age_oauth.qgis
from age_oauth import AgeOAuthError

authority, layer = sys.argv[1:]
trust_everywhere(authority)
age_oauth.qgis.enable("prod")
hook = age_oauth.qgis._hook
for error in (RuntimeError("x"), KeyboardInterrupt(), SystemExit(3), MemoryError(), RecursionError(), AgeOAuthError("no"), GeneratorExit()):
    with mock.patch.object(hook.signer, "answer", side_effect=error):
        assert not opens(layer)
    with mock.patch.object(hook, "watch", side_effect=error), mock.patch.object(hook, "_look", side_effect=error):
        assert opens(layer)
    with mock.patch.object(hook, "_look", side_effect=error), mock.patch("age_oauth._program.log", side_effect=error):
        assert opens(layer)
    with mock.patch.object(hook, "_tls_of", side_effect=error):
        assert not opens(layer)
assert roads(feature_layer(layer)) == 7
done()
