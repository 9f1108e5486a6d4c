"""A sign-in ends while QGIS runs, a person signs in again by the message's button, and signs out at the end."""

import os

from qgis_desktop import *
from qgis.PyQt.QtWidgets import QLabel


def test():
    install()
    panel = open_panel()
    trust_everywhere(os.environ["AGE_OAUTH_TEST_AUTHORITY"])
    # A layer that fails before is loaded again.
    address = os.environ["AGE_OAUTH_TEST_LAYER"]
    before = feature_layer(address, "before")
    assert not before.isValid()
    QgsProject.instance().addMapLayer(before)
    row(panel.list, "prod")
    tick("prod")
    until(before.isValid, "the layer is loaded again")
    click("testConnection")
    tested = window("TestDialog")
    result = shown("testResult", tested)
    until(lambda: "knows you as your.username" in result.toPlainText() and "[ok]" in result.toPlainText(), "the test")
    picture("1-test", tested)
    press("Close", tested)

    say("ready")
    assert hear() == "ended"
    plugin().connections.refresh()
    until(lambda: any("has ended" in one for one in messages()), "the message")
    picture("2-ended")
    picture("2-message", iface.messageBar())
    for _ in range(3):
        plugin().connections.refresh()
        until(lambda: not plugin().connections.is_busy, "the connections are read")
    assert sum("has ended" in one for one in messages()) == 1, messages()
    click("ageOAuthMessageButton")
    sign_in()
    until(lambda: row(panel.list, "prod").text(1) == "your.username", "the sign-in")
    assert feature_layer(address, "again").isValid()
    from age_oauth_plugin import texts

    with_buttons = [item for item, button in texts._shown.values() if button is not None]
    assert not with_buttons, "a message that was answered is kept"

    click("signOut")
    asked = question()
    picture("3-sign-out", asked)
    assert "prod" in asked.text()
    QTest.mouseClick(asked.button(QMessageBox.StandardButton.Yes), Qt.MouseButton.LeftButton)
    until(lambda: any("Signed out" in one for one in messages()), "the message")
    assert not is_on("prod")
    until(lambda: row(panel.list, "prod").text(1) == "no", "the panel says so")
    for one in iface.messageBar().findChildren(QLabel):
        assert "Signed" not in one.text() or one.textFormat() == Qt.TextFormat.PlainText


run(test)
