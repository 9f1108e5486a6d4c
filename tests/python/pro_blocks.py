"""The blocks of Python on the page about ArcGIS Pro, which are the arguments, with a stand-in for arcpy: first signed in, then
without a sign-in."""

import sys
import types

# Esri's package looks for much more of arcpy than the stand-in has.
import arcgis.gis  # noqa: F401

import age_oauth

blocks = sys.argv[1:]


class ExecuteError(Exception):
    pass


class Pro(types.ModuleType):
    """What the blocks use of arcpy. It keeps what they tell it, and which token Pro had when it copied a layer."""

    def __init__(self, parameters):
        super().__init__("arcpy")
        self.ExecuteError = ExecuteError
        self.parameters, self.signed_in = parameters, None
        self.told, self.failed, self.copied = [], [], []
        self.AddMessage, self.AddError = self.told.append, self.failed.append
        self.management = types.SimpleNamespace(CopyFeatures=lambda *what: self.copied.append((*what, self.signed_in)))

    def GetParameterAsText(self, index):
        return self.parameters[index]

    def SignInToPortal(self, url, *, token, token_referer, token_expiry):
        self.signed_in = token

    def SignOutFromPortal(self):
        self.signed_in = None

    def GetActivePortalURL(self):
        return age_oauth.Connection("prod").portal_url

    def GetSigninToken(self):
        return None


# As inside of ArcGIS Pro.
sys.executable = r"C:\Program Files\ArcGIS\Pro\bin\ArcGISPro.exe"
channel = sys.stdout
token = age_oauth.Connection("prod").token()
for block in blocks:
    arcpy = sys.modules["arcpy"] = Pro(["prod", "https://gis.example.com/layer", "target"])
    exec(compile(block, "block", "exec"), {})
    assert arcpy.failed == [], arcpy.failed
    ((_, _, used),) = arcpy.copied
    assert used == token and arcpy.signed_in is None
    if arcpy.told:
        ((told),) = arcpy.told
        assert told.endswith(" as your.username"), told

channel.write("ready\n")
channel.flush()
sys.stdin.readline()
# The tool, whose errors are messages.
arcpy = sys.modules["arcpy"] = Pro(["prod", "https://gis.example.com/layer", "target"])
exec(compile(blocks[0], "block", "exec"), {})
(failed,) = arcpy.failed
assert 'age_oauth.Connection("prod").login()' in failed or "age-oauth login" in failed, failed
assert len(failed.splitlines()) <= 2 and "ArcGISPro.exe" not in failed, failed
assert arcpy.copied == []
channel.write("done\n")
