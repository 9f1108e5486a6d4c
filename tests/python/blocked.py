"""The program cannot be started any more when the first layer on a federated server is read: the call of Esri's package says so."""

import os
import sys

from arcgis.features import FeatureLayer

from age_oauth import Connection, ProgramUnusable, _find, get_gis

(layer_url,) = sys.argv[1:]
gis = get_gis("prod")
session = Connection("prod").session()
session.get(f"{gis.url}/sharing/rest/portals/self", params={"f": "json"})
os.environ["AGE_OAUTH_BIN"] = os.path.abspath("none")
_find.forget()


def says(call):
    try:
        call()
    except Exception as error:
        reasons = [error]
        while reasons[-1].__cause__ or reasons[-1].__context__:
            reasons.append(reasons[-1].__cause__ or reasons[-1].__context__)
        assert any(isinstance(one, ProgramUnusable) for one in reasons), reasons
        assert "AGE_OAUTH_BIN" in str(error), error
        return
    raise AssertionError("it was anonymous")


for _ in range(2):
    says(lambda: FeatureLayer(layer_url, gis).query())
    says(lambda: session.get(f"{layer_url}/query"))
print("done")
