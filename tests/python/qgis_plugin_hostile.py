"""Items whose titles and addresses are an attack, two connections to one portal, and a portal that refuses."""

import os

from qgis_desktop import *
from qgis.PyQt.QtWidgets import QLabel


def is_plain(parent):
    """Whether no label of the plugin's takes its text for HTML."""
    return all(one.textFormat() == Qt.TextFormat.PlainText for one in parent.findChildren(QLabel) if one.objectName() in NAMES)


NAMES = ("connectionAbout", "searchMessage", "addMessage", "signInMessage")


def test():
    install()
    panel = open_panel()
    row(panel.list, "prod")
    tick("prod")
    # Two users of one portal at a time: edits would have the wrong name.
    tick("second")
    until(lambda: any("connections to the same server" in one for one in messages()), "the message")
    assert is_on("prod") and not is_on("second")

    panel._tabs.setCurrentIndex(1)
    click("searchStart")
    results = shown("searchResults")
    titles = until(lambda: [one.text(0) for one in rows(results)], "the results")
    assert not any("<" in one for one in titles), titles
    # An address with a stored sign-in in it is not shown at all.
    assert "Takes a stored sign-in" not in titles, titles
    picture("1-titles")
    # All but that one, in two pages.
    press("More results", panel.search)
    until(lambda: len(rows(results)) == 62, "the second page")
    assert not panel.search._more.isVisible()
    # A word that would mean something to the portal is a word like others.
    for text, count in (("foreign", 1), ("title OR foreign", 0), ("more*", 0), ("a (title)", 1), ('title" OR "foreign', 0)):
        enter("searchText", text, panel.search)
        click("searchStart")
        until(lambda: text_of("searchMessage") != "Searching …", "an answer")
        assert len(rows(results)) == count, (text, [one.text(0) for one in rows(results)])
    enter("searchText", "", panel.search)
    click("searchStart")
    foreign = row(results, "Foreign")
    double_click(results, foreign)
    until(lambda: "is not on a server of this portal" in text_of("searchMessage"), "the refusal")
    picture("2-foreign")
    double_click(results, next(one for one in rows(results) if "img" in one.text(0)))
    layer = until(lambda: next(iter(layers()), None), "the layer")
    assert "<" not in layer.name() and layer.isValid()
    assert "authcfg" not in layer.source()
    open_panel()._tabs.setCurrentIndex(0)

    click("addConnection")
    adding = window("AddDialog")
    for name, text in (("addName", "other"), ("addPortal", os.environ["AGE_OAUTH_TEST_WRONG"]), ("addClientId", "<b>x</b>")):
        enter(name, text, adding)
    press("Add", adding)
    until(lambda: "What to do" in text_of("addMessage", adding), "the error")
    assert is_plain(adding) and is_plain(panel)
    picture("3-add-fails", adding)
    press("Cancel", adding)

    panel.list.setCurrentItem(row(panel.list, "second"))
    click("signIn")
    opened = window("SignInDialog")
    until(lambda: text_of("signInAddress", opened), "the address")
    assert is_plain(opened)
    enter("signInCode", "this is not a code", opened)
    click("signInContinue", opened)
    until(lambda: find("signInCode", opened) is None, "the end of the attempt")
    picture("4-sign-in-fails", opened)
    press("Close", opened)
    click("signIn")
    opened = window("SignInDialog")
    until(lambda: text_of("signInAddress", opened), "the address")
    press("Cancel", opened)
    until(lambda: not windows(), "the window closes")


run(test)
