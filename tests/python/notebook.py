"""A notebook: there is no terminal, but `input` asks a person."""

import builtins
import io
import re
import sys
import types

import age_oauth

ipython = types.ModuleType("IPython")
ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
sys.modules["IPython"] = ipython

# The cell's output and its field for text.
cell, channel = sys.stderr, sys.stdout
sys.stderr = io.StringIO()


def field(_prompt=""):
    channel.write(re.search(r"https://\S+", sys.stderr.getvalue()).group() + "\n")
    channel.flush()
    return sys.stdin.readline()


builtins.input = field
sys.stdout = io.StringIO()
gis = age_oauth.get_gis("prod")
assert gis.users.me.username == sys.argv[1]
# Nothing goes to the notebook's stdout.
assert sys.stdout.getvalue() == ""
assert f"Signed in to `prod` as `{sys.argv[1]}` until 20" in sys.stderr.getvalue(), sys.stderr.getvalue()
# After the sign-in there are no more questions.
builtins.input = None
assert age_oauth.Connection("prod").token()
sys.stdout, sys.stderr = channel, cell
print("done")
