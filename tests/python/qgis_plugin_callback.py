"""The browser brings the authorization code to a port of this machine: there is nothing to paste."""

from qgis_desktop import *


def test():
    install()
    panel = open_panel()
    panel.list.setCurrentItem(row(panel.list, "prod"))
    click("signIn")
    opened = window("SignInDialog")
    until(lambda: text_of("signInAddress", opened), "the address")
    picture("sign-in", opened)
    say(text_of("signInAddress", opened))
    until(lambda: not windows(), "the window closes")
    until(lambda: is_on("prod"), "the connection is on")


run(test)
