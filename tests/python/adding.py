"""Connections that Python adds and changes: by the program, with its checks, and with hints that name arguments."""

import sys

import age_oauth

portal, ca, user_app, service, other_portal, printer = sys.argv[1:]
# Not an argument: every user of the machine can read those.
secret = sys.stdin.readline().strip()


def raises(act, kind, *words):
    try:
        act()
    except kind as error:
        assert all(word in str(error) for word in words), error
        assert len(str(error).splitlines()) <= 2, error
        return error
    raise AssertionError("nothing was raised")


prod = age_oauth.add_connection("prod", portal, user_app, verify_ssl=ca, tags=["a", "b"])
assert (prod.label, prod.portal_url, prod.auth_type) == ("prod", portal, "user"), prod
assert prod.meta.tags == ["a", "b"]

# The same label again.
again = "age_oauth.add_connection(\"prod\", …, replace=True)"
error = raises(lambda: age_oauth.add_connection("prod", portal, user_app), age_oauth.ConnectionNotFound, again)
assert error.kind == "name_taken"
assert age_oauth.add_connection("prod", portal, user_app, replace=True, tags=["c"]) == prod
assert prod.meta.tags == ["c"] and prod.meta.ca_bundle, prod.meta

# An application signs in by its secret, which is an argument of no process.
svc = age_oauth.add_connection(
    "svc", portal, service, auth_type="app", client_secret=secret, verify_ssl=ca, default=True
)
assert svc.auth_type == "app" and svc.token()
assert age_oauth.ConnectionStore().get_default() == svc.id
missing = lambda: age_oauth.add_connection("x", portal, service, auth_type="app", verify_ssl=ca)  # noqa: E731
assert "client_secret=" in raises(missing, age_oauth.UsageError).hint

# A command that prints the secret: as a line, or as words. The program reads both.
hours = iter(range(3, 9))
renewed = lambda one: one.token(min_ttl=3600 * next(hours))  # noqa: E731
for command in (printer, printer.split()):
    one = age_oauth.add_connection(
        "svc", portal, service, auth_type="app", client_secret_command=command, verify_ssl=ca, replace=True
    )
    assert one.id == svc.id and renewed(one)
both = {"client_secret": secret, "client_secret_command": printer}
raises(lambda: svc.edit(**both), age_oauth.UsageError, "client_secret_command")
raises(lambda: svc.edit(client_secret_command=["/bin/sh", 1]), age_oauth.UsageError, "client_secret_command is text")
svc.edit(client_secret_command=["/bin/sh", "-c", "exit 9"])
failed = raises(lambda: renewed(svc), age_oauth.KeychainUnavailable, "exit code 9")
assert failed.kind == "secret_command", failed.kind
svc.edit(client_secret=secret)
assert renewed(svc)

# A change.
prod.edit(referer="https://app.example.com")
assert prod.meta.referer == "https://app.example.com"
raises(lambda: prod.edit(), age_oauth.UsageError)
raises(lambda: age_oauth.add_connection("y", "not a portal", user_app), age_oauth.UsageError)

# A name that belongs to something else changes nothing.
for given in (
    {"portal": other_portal, "client_id": user_app},
    {"portal": portal, "client_id": "another"},
):
    raises(lambda given=given: age_oauth.get_gis("prod", **given), age_oauth.UsageError, portal, user_app, "NAME")
raises(lambda: age_oauth.get_gis(portal=other_portal), age_oauth.UsageError, "client_id=")
raises(lambda: age_oauth.get_gis(client_id=user_app), age_oauth.UsageError, "portal=")
raises(lambda: age_oauth.get_gis(prod, portal=portal), age_oauth.UsageError)
assert [one.label for one in age_oauth.list_connections()] == ["prod", "svc"]

# An unattended script adds the connection, so that a person can sign in to it, and asks nothing.
age_oauth.Connection("prod").edit(client_id="another", check=False)
error = raises(
    lambda: age_oauth.get_gis("fresh", portal=portal, client_id=user_app, verify_ssl=ca, prompt_if_missing=False),
    age_oauth.SignInRequired,
    "fresh",
)
assert age_oauth.get_gis(portal=portal, client_id=service).properties["appInfo"]
print("done")
