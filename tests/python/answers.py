"""get_gis, once for each line of stdin, at a portal whose answers change. It prints the class, the exit code and the message of
the error, or ``none``. A task catches this error, so that any other ends this script."""

import sys

import age_oauth

print("ready", flush=True)
for line in sys.stdin:
    try:
        age_oauth.get_gis("prod", prompt_if_missing=False)
    except age_oauth.AgeOAuthError as error:
        assert isinstance(error.cause, Exception) and error.__suppress_context__, error
        print(type(error).__name__, error.code, error.message, flush=True)
    else:
        print("none", flush=True)
    if line == "last\n":
        break

# What is wrong with an option is not an error of the portal.
for options, kind, cause, words in (
    ({"expiration": "soon"}, age_oauth.AgeOAuthError, TypeError, "options of get_gis"),
    ({"ca_bundles": "missing.pem"}, age_oauth.UsageError, FileNotFoundError, "`missing.pem` cannot be read"),
    ({"ca_bundles": __file__}, age_oauth.UsageError, OSError, "no certificate"),
):
    try:
        age_oauth.get_gis("prod", prompt_if_missing=False, **options)
    except age_oauth.AgeOAuthError as error:
        assert type(error) is kind and isinstance(error.cause, cause) and words in str(error), error
    else:
        raise AssertionError(options)
print("done")
