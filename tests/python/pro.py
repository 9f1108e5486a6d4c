"""``sign_in_pro`` with a stand-in for arcpy that behaves as Esri's documentation says."""

import pickle
import sys
import threading
import time
import types
import warnings

import age_oauth


class Pro(types.ModuleType):
    """What ArcGIS Pro keeps: the active portal, and the token of the sign-in there."""

    def __init__(self):
        super().__init__("arcpy")
        self.url, self.signed_in = "https://www.arcgis.com/", {"token": "before", "referer": "r", "expires": time.time() + 900}
        self.renewed = threading.Event()
        self.calls = []

    def SignInToPortal(self, url, username=None, *, token=None, token_referer="", token_expiry=0):
        self.calls.append((url, token))
        if token is None:
            raise RuntimeError("no user name was given")
        assert isinstance(token_expiry, int)
        self.url, self.signed_in = url, {"token": token, "referer": token_referer, "expires": token_expiry}
        if len({token for asked, token in self.calls if asked != "https://www.arcgis.com/"}) > 1:
            self.renewed.set()

    def SignOutFromPortal(self):
        self.signed_in = None

    def GetActivePortalURL(self):
        return self.url

    def GetSigninToken(self):
        return self.signed_in


def raises(act, kind, *words):
    try:
        act()
    except kind as error:
        assert all(word in str(error) for word in words), error
        assert len(str(error).splitlines()) <= 2, error
        assert "ArcGISPro.exe" not in str(error), error
        return error
    raise AssertionError("nothing was raised")


# As inside of ArcGIS Pro.
sys.executable = r"C:\Program Files\ArcGIS\Pro\bin\ArcGISPro.exe"
prod = age_oauth.Connection("prod")
assert age_oauth.get_token(prod) == prod.token()

# A renewal, and what was active before.
arcpy = sys.modules["arcpy"] = Pro()
before = arcpy.signed_in
with age_oauth.sign_in_pro(prod) as signed_in:
    assert signed_in == prod and arcpy.url == prod.portal_url and arcpy.signed_in["token"] == prod.token(0)
    assert arcpy.signed_in["expires"] > time.time()
    assert arcpy.renewed.wait(60), "the sign-in was not renewed"
    assert type(pickle.loads(pickle.dumps(signed_in))) is age_oauth.Connection
assert (arcpy.url, arcpy.signed_in["token"]) == ("https://www.arcgis.com/", "before"), arcpy.calls
assert arcpy.signed_in["referer"] == "r"

# Also if the work fails.
raises(lambda: exec("with age_oauth.sign_in_pro('prod'): raise OSError('work')", {"age_oauth": age_oauth}), OSError)
assert arcpy.signed_in["token"] == "before"

# A portal that was chosen meanwhile stays.
with age_oauth.sign_in_pro("prod"):
    arcpy.url, arcpy.signed_in = "https://other.example.com/portal", {"token": "other"}
assert arcpy.url == "https://other.example.com/portal" and arcpy.signed_in == {"token": "other"}

# Nothing was signed in before.
arcpy.signed_in = None
with age_oauth.sign_in_pro("prod"):
    assert arcpy.signed_in
assert arcpy.signed_in is None

# The sign-in before has expired meanwhile, and Pro has no other one.
arcpy.url, arcpy.signed_in = "https://www.arcgis.com/", {"token": "old", "expires": time.time() - 1}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    with age_oauth.sign_in_pro("prod"):
        pass
warned = [one for one in caught if "choose the portal in ArcGIS Pro" in str(one.message)]
assert len(warned) == 1, [str(one.message) for one in caught]
assert warned[0].category is age_oauth.AgeOAuthWarning and warned[0].filename == __file__

# Without a `with` statement, the portal stays active.
assert age_oauth.sign_in_pro(prod).id == prod.id
assert arcpy.url == prod.portal_url


# A licence is missing: at the import, or at the sign-in.
class Unlicensed:
    def find_spec(self, name, path=None, target=None):
        if name == "arcpy":
            raise RuntimeError("NotInitialized")


del sys.modules["arcpy"]
sys.meta_path.insert(0, Unlicensed())
error = raises(lambda: age_oauth.sign_in_pro("prod"), age_oauth.AgeOAuthError, "licence", "NotInitialized")
assert isinstance(error.cause, RuntimeError) and error.__suppress_context__
del sys.meta_path[0]


def unlicensed(*_, **__):
    raise RuntimeError("ERROR 000824: The tool is not licensed.")


arcpy = sys.modules["arcpy"] = Pro()
arcpy.SignInToPortal = unlicensed
raises(lambda: age_oauth.sign_in_pro("prod"), age_oauth.AgeOAuthError, "licence", "000824")
print("done")
