"""What goes on at a portal that does not answer is canceled, or the plugin is unloaded meanwhile, and at last QGIS is closed."""

import os

import qgis.utils
from qgis_desktop import *


def processes():
    """The processes of the program that the plugin has started and that have not ended."""
    return [one._process.processId() for one in plugin().connections.program.runs if one._process is not None]


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def opened(panel):
    """The window of a sign-in that has begun."""
    panel.list.setCurrentItem(row(panel.list, "prod"))
    click("signIn")
    return window("SignInDialog")


def sent(panel, code):
    """A sign-in whose code was sent: the portal holds its answer back."""
    dialog = opened(panel)
    until(lambda: text_of("signInAddress", dialog), "the address")
    say(text_of("signInAddress", dialog))
    enter("signInCode", hear(), dialog)
    click("signInContinue", dialog)
    say("sent")
    assert hear() == "held"
    return dialog


def test():
    install()
    panel = open_panel()
    row(panel.list, "prod")
    tick("prod")
    until(lambda: is_on("prod"), "the connection is on")
    until(lambda: not plugin().connections.program.runs, "all has been read")

    # A sign-in is canceled at once, when its address is there, and when its code was sent.
    press("Cancel", opened(panel))
    until(lambda: not windows(), "the first window closes")
    dialog = opened(panel)
    until(lambda: text_of("signInAddress", dialog), "the address")
    dialog.close()
    until(lambda: not windows(), "the second window closes")
    dialog = sent(panel, "first")
    press("Cancel", dialog)
    until(lambda: not windows(), "the third window closes")
    say("canceled")
    assert hear() == "signed in as before"
    assert is_on("prod")

    # The plugin is unloaded while a sign-in, a search and a test wait for the portal.
    sent(panel, "second")
    panel._tabs.setCurrentIndex(1)
    click("searchStart")
    panel._tabs.setCurrentIndex(0)
    click("testConnection")
    window("TestDialog")
    say("asked")
    assert hear() == "held"
    running = processes()
    assert len(running) >= 2, running
    assert qgis.utils.unloadPlugin(NAME)
    assert not windows()
    until(lambda: not any(is_alive(one) for one in running), "the program ends")
    say("unloaded")
    assert hear() == "goes on"
    assert qgis.utils.loadPlugin(NAME) and qgis.utils.startPlugin(NAME)
    panel = open_panel()
    until(lambda: is_on("prod"), "the connection is on again")
    until(lambda: not plugin().connections.program.runs, "all has been read again")

    # QGIS is closed while a layer is opened.
    panel._tabs.setCurrentIndex(1)
    click("searchStart")
    results = shown("searchResults")
    hills = row(results, "Hills")
    say("found")
    assert hear() == "hold"
    double_click(results, hills)
    say("opening")
    assert hear() == "held"


run(test)
