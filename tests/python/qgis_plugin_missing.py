"""The program is missing: the panel says so, and what to do."""

from qgis_desktop import *


def test():
    install()
    open_panel()
    until(lambda: "press Refresh" in text_of("connectionAbout"), "the text")
    assert "AGE_OAUTH_BIN" in text_of("connectionAbout")
    picture("missing")
    click("refreshConnections")
    until(lambda: not plugin().connections.is_busy and "press Refresh" in text_of("connectionAbout"), "the text again")


run(test)
