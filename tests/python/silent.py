"""The portal accepts connections and never answers."""

from age_oauth import Connection, PortalUnreachable, _wire

prod = Connection("prod")
prod.token()
_wire.BEGIN_SECONDS = 1
_wire.SILENT_SECONDS = 1
try:
    prod.get_gis()
except PortalUnreachable as error:
    assert "doctor" in error.hint, error
else:
    raise AssertionError("a GIS without answers")
print("done")
