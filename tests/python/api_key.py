"""A connection with an API key: added and changed by Python, used in requests and in Esri's GIS, and refused clearly."""

import sys

import age_oauth
from age_oauth.tokens import maybe_rotate_refresh_token

portal, ca, end, printer, user = sys.argv[1:]
# Not arguments: every user of the machine can read those.
key, second, foreign = (sys.stdin.readline().strip() for _ in range(3))


def raises(act, kind, *words):
    try:
        act()
    except kind as error:
        assert all(word in str(error) for word in words), error
        assert not any(secret in str(error) for secret in (key, second, foreign)), error
        return error
    raise AssertionError("nothing was raised")


new = {"auth_type": "key", "verify_ssl": ca, "expires": end}
raises(lambda: age_oauth.add_connection("keyed", portal, **new), age_oauth.UsageError, "api_key=")
both = {**new, "api_key": key, "api_key_command": printer}
raises(lambda: age_oauth.add_connection("keyed", portal, **both), age_oauth.UsageError, "in one call")
keyed = age_oauth.add_connection("keyed", portal, api_key=key, **new)
assert (keyed.auth_type, keyed.username, keyed.token()) == ("key", user, key)
raises(keyed.login, age_oauth.UsageError, "nothing to sign in to")
raises(lambda: maybe_rotate_refresh_token(connection="keyed"), age_oauth.UsageError, "API key")
identity = keyed.get_identity()
assert (identity.auth_type, identity.username, identity.app_owner) == ("key", None, user), identity

session = keyed.session()
answer = session.get(f"{portal}/sharing/rest/search", params={"f": "json", "q": "x"}).json()
assert answer["total"] == 2, answer
gis = age_oauth.get_gis("keyed")
assert gis.properties["appInfo"]["appOwner"] == user

# A key of another user changes nothing; a second one of the same user is used at once.
raises(lambda: keyed.edit(api_key=foreign, expires=end), age_oauth.SignInRequired, user)
assert keyed.token() == key
keyed.edit(api_key=second, expires=end)
assert keyed.token() == second
keyed.edit(api_key_command=printer, expires=end)
assert keyed.token() == key
keyed.edit(api_key=second, expires=end)

# A refused key: an error that says what to do, and no question to a person.
print("revoke", flush=True)
assert sys.stdin.readline() == "done\n"
refused = raises(lambda: session.get(f"{portal}/sharing/rest/search", params={"f": "json"}), age_oauth.SignInRequired)
assert refused.kind == "api_key", refused.kind
assert "api_key=" in refused.hint or "--api-key-stdin" in refused.hint, refused.hint
raises(lambda: age_oauth.get_gis("keyed"), age_oauth.AgeOAuthError)
print("done")
