"""get_gis fails with this class, and these words."""

import sys

import age_oauth

try:
    age_oauth.get_gis("prod", prompt_if_missing=False)
except age_oauth.AgeOAuthError as error:
    assert type(error).__name__ == sys.argv[1], repr(error)
    assert sys.argv[2] in str(error), error
else:
    raise AssertionError("it did not fail")
print("done")
