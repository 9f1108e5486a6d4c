"""A network connection behind nginx, which vouches for the holder of a client certificate."""

import sys
from pathlib import Path

import requests

import age_oauth
from age_oauth.oauth import resolve_identity
from age_oauth.tokens import maybe_rotate_refresh_token

portal, ca, file, cert, key, user, other = sys.argv[1:]
# Not an argument: every user of the machine can read those.
password = sys.stdin.readline().rstrip("\n")


def raises(call, kind, *texts):
    try:
        call()
    except kind as error:
        assert all(text in f"{error} {error.hint}" for text in texts), (error, error.hint)
    else:
        raise AssertionError(texts)


def add(**settings):
    return age_oauth.add_connection("net", portal, auth_type="network", verify_ssl=ca, **settings)


raises(lambda: add(check=False), age_oauth.UsageError, "this connection answers none", "client_cert=")
raises(lambda: add(client_id="x", check=False), age_oauth.UsageError, "neither a client ID")
one = add(client_cert=Path(file), client_cert_password=password)
assert (one.auth_type, one.username) == ("network", None)
raises(one.token, age_oauth.SignInRequired, "not signed in")
# No person is needed.
one.login()
assert one.username == user
assert one.whoami()["username"] == user
assert resolve_identity(connection="net") == ("network", user, *[None] * 4, "community/self", None)
assert one.headers()["Referer"] == portal
raises(lambda: maybe_rotate_refresh_token(connection="net"), age_oauth.UsageError, "a network connection")

me = f"{portal}/sharing/rest/community/self?f=json"
answer = requests.get(me, auth=age_oauth.TokenAuth("net"), cert=(cert, key), verify=ca)
assert answer.json()["username"] == user, answer.text
gis = age_oauth.get_gis("net", cert_file=cert, key_file=key)
assert gis.users.me.username == user
assert [connection.auth_type for connection in age_oauth.list_connections()] == ["network"]

# The web server vouches for another user from now on.
print("vouch", flush=True)
assert sys.stdin.readline().strip() == "done"
raises(one.login, age_oauth.SignInRequired, user, other)
one.login(switch_user=True)
assert one.username == other
print("done")
