"""An application's GIS has no user, and is signed in all the same."""

from age_oauth import get_gis

gis = get_gis()
assert gis.users.me is None
assert gis.properties.appInfo
print("done")
