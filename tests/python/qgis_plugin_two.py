"""Two sign-ins at once: one connection twice, which is one sign-in, and two connections, each with a window of its own."""

import os

from qgis_desktop import *


def opened(label):
    return [one for one in windows() if type(one).__name__ == "SignInDialog" and label in one.windowTitle()]


def asked(label):
    """The window of the only sign-in of a connection, once it has an address."""
    found = until(lambda: opened(label), f"the sign-in of {label}")
    assert len(found) == 1, found
    until(lambda: text_of("signInAddress", found[0]), "the address")
    return found[0]


def finish(dialog):
    say(text_of("signInAddress", dialog))
    enter("signInCode", hear(), dialog)
    click("signInContinue", dialog)


def test():
    install()
    panel = open_panel()
    row(panel.list, "prod")
    until(lambda: "age-oauth 0." in text_of("programAbout"), "the version of the program")
    assert os.environ["AGE_OAUTH_BIN"] in text_of("programAbout")
    tick("prod")
    until(lambda: any("not signed in to prod" in one for one in messages()), "the message")
    panel.list.setCurrentItem(row(panel.list, "prod"))
    click("signIn")
    first = asked("prod")
    # The message's button leads to the same window.
    click("ageOAuthMessageButton")
    until(lambda: not find("ageOAuthMessageButton"), "the message is closed")
    assert asked("prod") is first
    panel.list.setCurrentItem(row(panel.list, "other"))
    click("signIn")
    second = asked("other")
    picture("two")
    finish(second)
    until(lambda: not opened("other"), "the end of the second sign-in")
    assert asked("prod") is first
    finish(first)
    until(lambda: not windows(), "the end of the first sign-in")
    until(lambda: is_on("prod") and is_on("other"), "both are on")
    until(lambda: not any("not signed in to prod" in one for one in messages()), "the message is gone")


run(test)
