"""Without standard streams, as under ``pythonw`` and in programs with windows, and with a closed stderr: a connection is added,
and the error is the one that the page names."""

import sys
import warnings

import age_oauth
from age_oauth import cli, errors

portal, authority, client_id = sys.argv[1:]
channel = sys.stdout


def signs_in(label):
    age_oauth.get_gis(label, portal=portal, client_id=client_id, verify_ssl=authority)


def raises(label):
    try:
        signs_in(label)
    except age_oauth.SignInRequired as error:
        assert error.hint, error
    else:
        raise AssertionError("it did not fail")
    assert age_oauth.Connection(label).portal_url == portal


closed = open(sys.argv[0], encoding="utf-8")
closed.close()
kept = sys.stderr
warnings.simplefilter("always")
for label, stream in (("none", None), ("closed", closed)):
    sys.stdin = sys.stdout = sys.stderr = stream
    try:
        raises(label)
        raises(label)
        errors.warn("something", age_oauth.AgeOAuthWarning)
        # What no program can be given.
        assert cli.main(["\0"]) == 1
    finally:
        sys.stderr = kept
channel.write("done\n")
