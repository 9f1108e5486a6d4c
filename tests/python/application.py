"""An application's GIS has no user, and is signed in all the same."""

from age_oauth import get_gis
from age_oauth.oauth import resolve_identity

gis = get_gis()
assert gis.users.me is None
assert gis.properties.appInfo
identity = resolve_identity(gis)
assert identity.auth_type == "app" and identity.username is None, identity
assert identity.app_title and identity.app_id, identity
print("done")
