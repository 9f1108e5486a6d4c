"""The program is missing, is another one, or is too old: the panel says so, and what to do."""

import os

from qgis_desktop import *


def test():
    install()
    open_panel()
    until(lambda: "press Refresh" in text_of("connectionAbout"), "the text")
    assert "AGE_OAUTH_BIN" in text_of("connectionAbout")
    picture("missing")
    click("refreshConnections")
    until(lambda: not plugin().connections.is_busy and "press Refresh" in text_of("connectionAbout"), "the text again")
    plugin().connections._on.add("an ID that stays")
    program = os.environ["AGE_OAUTH_BIN"]
    for line, expected in (("true", "is not the age-oauth program"), ("echo age-oauth 0.2.1", "is age-oauth 0.2.1; this plugin needs")):
        with open(program, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{line}\n")
        os.chmod(program, 0o755)
        click("refreshConnections")
        until(lambda: expected in text_of("connectionAbout"), expected)
        assert "press Refresh" in text_of("connectionAbout") and "AGE_OAUTH_BIN" in text_of("connectionAbout")
    os.chmod(program, 0o644)
    click("refreshConnections")
    until(lambda: "cannot be started: Permission denied" in text_of("connectionAbout"), "the reason of the system")
    assert plugin().connections._on
    os.remove(program)
    os.symlink(os.environ["AGE_OAUTH_TEST_BIN"], program)
    click("refreshConnections")
    until(lambda: "no connections" in text_of("connectionAbout"), "the program")


run(test)
