"""A portal that lets nothing through without a client certificate: Python gives it and its password to the program."""

import os
import sys
from pathlib import Path

import age_oauth

portal, ca, user_app, file = sys.argv[1:]
# Not an argument: every user of the machine can read those.
password = sys.stdin.readline().rstrip("\n")


def raises(act, kind, *words):
    try:
        act()
    except kind as error:
        assert all(word in str(error) for word in words), error
        assert len(str(error).splitlines()) <= 2, error
        return
    raise AssertionError("nothing was raised")


def add(label, **settings):
    return age_oauth.add_connection(label, portal, user_app, verify_ssl=ca, **settings)


def stored(connection):
    facts = next(one for one in age_oauth._program.ask("connections", "list") if one["id"] == connection.id)
    return facts["client_certificate"], facts["client_certificate_source"]


raises(lambda: add("none"), age_oauth.PortalRefused, "asks for a client certificate", 'client_cert="FILE.p12"')
# `get_gis` names the argument, and takes it.
new = {"portal": portal, "client_id": user_app, "verify_ssl": ca, "prompt_if_missing": False}
raises(lambda: age_oauth.get_gis("one", **new), age_oauth.PortalRefused, 'client_cert="FILE.p12"')
own = {"client_cert": file, "client_cert_password": password}
raises(lambda: age_oauth.get_gis("one", **new, **own), age_oauth.SignInRequired, "one")
assert stored(age_oauth.Connection("one")) == ("CN=ana", "keychain")
for name in own:
    for first, why in (("one", "no portal is given"), (age_oauth.Connection("one"), "a Connection is given")):
        given = {name: own[name]}
        raises(lambda: age_oauth.get_gis(first, **given), age_oauth.UsageError, f"`{name}` is for a new", why)
# A person's own words for a file that cannot be one.
pem = 'client_cert="FILE.pem"'
raises(lambda: add("x", client_cert=(file, file)), age_oauth.UsageError, "one file with the certificate", pem)
raises(lambda: add("x", client_cert=True), age_oauth.UsageError, "client_cert is text or a path", "`bool`")
raises(lambda: add("x", proxy=5, client_cert=file), age_oauth.UsageError, "proxy is text or a path", "`int`")
raises(lambda: add("x", tags=[5], client_cert=file), age_oauth.UsageError, "tags is text", "`int`")
raises(lambda: add("x", tags=5, client_cert=file), age_oauth.UsageError, "tags is text", "`int`")
missing = ("no client_cert is given", 'client_cert="FILE.p12"')
raises(lambda: add("x", client_cert_password=password), age_oauth.UsageError, *missing)
raises(lambda: age_oauth.Connection("one").edit(client_cert_password=password), age_oauth.UsageError, *missing)
broken = {"client_cert": file, "client_cert_password": "\ud800"}
raises(lambda: add("x", **broken), age_oauth.UsageError, "client_cert_password contains half of a character")
raises(lambda: add("x", client_secret="\ud800"), age_oauth.UsageError, "client_secret contains half of a character")
raises(lambda: add("x", client_cert=file), age_oauth.UsageError, "protected by a password", 'client_cert_password="…"')
raises(lambda: add("x", client_cert=file, client_cert_password="wrong"), age_oauth.UsageError, "the password is wrong")
both = {"client_cert": file, "client_cert_password": password, "client_secret": "s"}
raises(lambda: add("x", **both), age_oauth.UsageError, "cannot be given in one call", "AGE_OAUTH_CLIENT_SECRET")
raises(lambda: add("x", client_cert=file, client_cert_password=5), age_oauth.UsageError, "client_cert_password is text")

prod = add("prod", client_cert=Path(file), client_cert_password=password)
assert stored(prod) == ("CN=ana", "keychain"), stored(prod)
prod.edit(client_cert=os.fsencode(file), client_cert_password=password)
prod.edit(client_cert=f"file:{file}", client_cert_password=password)
assert stored(prod) == ("CN=ana", f"file:{file}"), stored(prod)
prod.edit(client_cert="none", check=False)
assert stored(prod) == (None, None), stored(prod)
again = add("prod", client_cert=file, client_cert_password=password, replace=True)
assert again == prod and stored(prod) == ("CN=ana", "keychain"), stored(prod)
print("done")
