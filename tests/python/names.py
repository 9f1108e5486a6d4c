"""Every public name of version 0.2.1: what keeps its meaning works, the rest says what to use."""

import sys
import time
import types

import age_oauth
import age_oauth.cli
import age_oauth.oauth
import age_oauth.tokens
from age_oauth import AGEOAuth, Connection, ConnectionStore, OAuthConfig, get_gis, list_connections  # noqa: F401
from age_oauth.connections import ConnectionMeta
from age_oauth.oauth import resolve_identity
from age_oauth.tokens import maybe_rotate_refresh_token


def raises(act, kind, *words):
    try:
        act()
    except kind as error:
        assert all(word in str(error) for word in words), error
    else:
        raise AssertionError("nothing was raised")


assert [one.label for one in list_connections()] == ["prod", "second"]
# The access token of `second` has expired, so that its sign-in can be extended at once.
rotated = maybe_rotate_refresh_token(connection="second", max_age_days=0)
assert rotated.rotated and rotated.attempted and rotated.reason == "Refresh token rotated.", rotated
assert rotated.username == sys.argv[1] and abs(rotated.rotated_at_epoch - time.time()) < 60, rotated
prod = Connection("prod")
assert isinstance(prod.meta, ConnectionMeta) and prod.meta.label == "prod"
assert prod.get_identity(None).username == sys.argv[1] == prod.username
assert resolve_identity(connection="second").auth_type == "user"
store = ConnectionStore()
assert store.resolve(connection="PROD") == prod.id == store.get_default()
store.set_active(store.resolve(connection="second"))
assert store.get_active() == store.resolve() != prod.id
assert store.load_meta("nobody", allow_missing=True) is None
assert [meta.id for meta in store.list()][0] == prod.id
fresh = maybe_rotate_refresh_token(connection="prod")
assert not fresh.rotated and not fresh.attempted and fresh.rotated_at_epoch is None, fresh
assert fresh.refresh_token_age_seconds < 600 and "not needed" in fresh.reason, fresh
# An access token of `prod` is in use: an extension would end it.
waits = maybe_rotate_refresh_token(connection="prod", max_age_days=0)
assert not waits.rotated and "waits until" in waits.reason, waits
for act in (lambda: OAuthConfig("https://h", "i", "s", "e"), lambda: AGEOAuth(None), lambda: store.create(label="x")):
    raises(act, age_oauth.AgeOAuthError, "age")
raises(lambda: Connection("nobody"), age_oauth.ConnectionNotFound, "nobody")
raises(lambda: Connection("nobody"), RuntimeError)
raises(lambda: age_oauth.sign_in_pro("prod"), age_oauth.AgeOAuthError, "arcpy")

# ArcGIS Pro's part, as its documentation describes it.
calls = []
arcpy = sys.modules["arcpy"] = types.ModuleType("arcpy")
arcpy.SignInToPortal = lambda url, **options: calls.append((url, options))
assert age_oauth.sign_in_pro("prod").id == prod.id
((url, given),) = calls
assert url == prod.portal_url and given["token"] == prod.token(600) and given["token_expiry"] > 1.7e9, calls
arcpy.SignInToPortal = lambda url, username=None, password=None: None
raises(lambda: age_oauth.sign_in_pro("prod"), age_oauth.AgeOAuthError, "3.2")


def refuses(url, **options):
    raise RuntimeError("Invalid token")


arcpy.SignInToPortal = refuses
raises(lambda: age_oauth.sign_in_pro("prod"), age_oauth.PortalRefused, "Invalid token", "doctor")
assert set(prod.headers()) == {"X-Esri-Authorization"}
print("done")
