"""get_gis fails with this class, and these words."""

import sys
import traceback

import age_oauth

try:
    age_oauth.get_gis("prod", prompt_if_missing=False)
except age_oauth.AgeOAuthError as error:
    assert type(error).__name__ == sys.argv[1], repr(error)
    assert sys.argv[2] in str(error), error
    # Frames of the script and of this package only, none of `arcgis` and what it calls.
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert "site-packages" not in shown and "verify_cert" not in shown, shown
else:
    raise AssertionError("it did not fail")
print("done")
