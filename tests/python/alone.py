"""Without a sign-in and without a terminal: no question, one clear error."""

import sys

import age_oauth

for ask in (True, False):
    try:
        age_oauth.get_gis("prod", prompt_if_missing=ask)
    except age_oauth.SignInRequired as error:
        assert "age-oauth login" in error.hint
    else:
        raise AssertionError("it did not fail")
# A closed stdin is what a service without a console has.
sys.stdin.close()
try:
    age_oauth.get_gis("prod")
except age_oauth.SignInRequired:
    print("done")
