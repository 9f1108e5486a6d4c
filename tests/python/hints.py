"""Type hints can be read at run time, and completion shows all names, without a slow import."""

import importlib
import sys
import typing

import age_oauth

assert {*age_oauth.__all__, "__version__"} <= set(dir(age_oauth))
assert "httpx" not in sys.modules
for module in ("age_oauth", "age_oauth.connection", "age_oauth.connections", "age_oauth.errors", "age_oauth.oauth", "age_oauth.tokens"):
    public = importlib.import_module(module)
    for name in public.__all__:
        one = getattr(public, name)
        members = vars(one).values() if isinstance(one, type) else []
        for each in [one, *(getattr(member, "fget", member) for member in members)]:
            if hasattr(each, "__annotations__"):
                typing.get_type_hints(each)
assert "return" in typing.get_type_hints(age_oauth.get_gis)
assert "arcgis" not in sys.modules
print("done")
