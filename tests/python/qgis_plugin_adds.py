"""Each kind of connection is added in the window for it, and connections are changed and removed by another program."""

import os
from unittest import mock

from qgis_desktop import *
from qgis.PyQt.QtWidgets import QCheckBox, QComboBox


END = "2027-01-02T12:00:00Z"


def choose(adding, kind):
    """Chooses who the tokens are for."""
    kinds = adding.findChild(QComboBox, "addKind")
    kinds.setCurrentIndex(kinds.findData(kind))


def fill(adding, **fields):
    for name, text in fields.items():
        enter(f"add{name}", text, adding)


def add(kind, name, **fields):
    """The window for a new connection of this kind, filled in."""
    click("addConnection")
    adding = window("AddDialog")
    choose(adding, kind)
    portal, authority = os.environ["AGE_OAUTH_TEST_PORTAL"], os.environ["AGE_OAUTH_TEST_AUTHORITY"]
    fill(adding, Name=name, Portal=portal, Authority=authority, **fields)
    return adding


def added(panel, name):
    until(lambda: not windows(), f"{name} is added")
    until(lambda: is_on(name), f"{name} is on")


def untick(name):
    until(lambda: not plugin().connections.is_busy, "the connections are read")
    tick(name)
    until(lambda: not is_on(name), f"{name} is off")


def test():
    install()
    panel = open_panel()
    until(lambda: "no connections" in text_of("connectionAbout"), "the first text")
    say("client secret")
    adding = add("app", "jobs", ClientId=os.environ["AGE_OAUTH_TEST_CLIENT"], Secret=hear())
    press("Add", adding)
    added(panel, "jobs")
    assert row(panel.list, "jobs").text(1) == "as the application"
    untick("jobs")
    entry = plugin().connections.entries[0]
    panel._notice(type("Entry", (), {**vars(entry), "kind": "user", "status": {"sign_in": "ends_soon", "refresh_expires_at": END}}), "ends_soon")
    until(lambda: any("ends on 2027-01-0" in one for one in messages()) and find("ageOAuthMessageButton"), "the message")
    plugin().connections.settled.emit(entry.id)

    # The portal does not say when a key expires: without that, the program does not take it.
    say("key")
    adding = add("key", "keyed", Secret=hear())
    assert not adding._ok.isEnabled()
    assert find("addClientId", adding) is None
    fill(adding, Expires="soon")
    press("Add", adding)
    until(lambda: "a date such as" in text_of("addMessage", adding) and adding._ok.isEnabled(), "the error")
    fill(adding, Expires=os.environ["AGE_OAUTH_TEST_END"])
    picture("1-key", adding)
    press("Add", adding)
    added(panel, "keyed")
    assert row(panel.list, "keyed").text(2).startswith(os.environ["AGE_OAUTH_TEST_END"])

    # Of its end, a person is told what can be done: a key has no sign-in.
    entry = next(one for one in plugin().connections.entries if one.label == "keyed")
    for state, text in (("ends_soon", f"The API key of keyed ends on {os.environ['AGE_OAUTH_TEST_END']}"), ("ended", "has ended")):
        panel._notice(entry, state)
        told = until(lambda: [one for one in messages() if text in one], text)
        assert f"connections edit {entry.id} --expires DATE --api-key-stdin" in told[0] and "sign in" not in told[0].lower(), told
        plugin().connections.settled.emit(entry.id)
    # The option that takes another key would make the connection forget a command that prints it.
    command = type("Entry", (), {**vars(entry), "facts": {**entry.facts, "api_key_command": ["/usr/bin/pass", "gis"]}})
    for state in ("ends_soon", "ended"):
        panel._notice(command, state)
        told = until(lambda: [one for one in messages() if "where its command finds it" in one], state)
        assert f"connections edit {entry.id} --expires DATE" in told[0] and "stdin" not in told[0], told
        plugin().connections.settled.emit(entry.id)

    # Nothing here answers the web server, and the program says so.
    adding = add("network", "known")
    assert find("addWindows", adding) is None
    press("Add", adding)
    until(lambda: adding._ok.isEnabled(), "the answer")
    assert "answers none" not in text_of("addMessage", adding), text_of("addMessage", adding)
    assert "What to do" in text_of("addMessage", adding), text_of("addMessage", adding)
    picture("2-network", adding)
    choose(adding, "user")
    assert adding.findChild(QCheckBox, "addWindows").isVisible()
    press("Cancel", adding)

    # Another program renames and changes the connection that is on.
    say("change")
    assert hear() == "changed"
    plugin().connections.refresh()
    until(lambda: is_on("renamed"), "the new name")
    until(lambda: browser_entries() == ["renamed (age-oauth)"], "the new name in the browser panel")
    import age_oauth.qgis

    until(lambda: age_oauth.qgis._hook.signer.portals[0].referer == "https://app.example", "the new setting")
    panel_says(panel)
    # The program prints something else, as another one in its place would: nothing is forgotten.
    connections = plugin().connections
    for out in (b"", b"[5]", b'{"a": 1}', b'[{"id": "x"}]'):
        connections.is_busy = True
        connections._has_listed(type("Run", (), {"error": None, "out": out})())
        assert not connections.is_busy and "not a list" in text_of("connectionAbout"), text_of("connectionAbout")
        assert connections._on
    connections.refresh()
    until(lambda: is_on("renamed"), "the connections are read again")
    # It is removed.
    say("remove")
    assert hear() == "removed"
    connections.refresh()
    until(lambda: not connections._on and [one.text(0) for one in rows(panel.list)] == ["jobs"], "it is gone")
    assert age_oauth.qgis._hook is None
    assert browser_entries() == []


def panel_says(panel):
    """What is shown of a connection that another user has signed in to, and of one behind Windows sign-in."""
    import age_oauth.qgis

    connections = plugin().connections
    until(lambda: not connections.is_busy, "the connections are read")
    entry = next(one for one in connections.entries if one.label == "renamed")
    panel.list.setCurrentItem(row(panel.list, "renamed"))
    assert "QGIS is signed in with it" in text_of("connectionAbout"), text_of("connectionAbout")
    connections._used[entry.id] = type("Entry", (), {**vars(entry), "user": "someone.else"})
    entry.has_windows_sign_in = True
    panel._show_chosen()
    assert "Another user has signed in" in text_of("connectionAbout"), text_of("connectionAbout")
    assert "does not answer the Windows sign-in" in text_of("connectionAbout"), text_of("connectionAbout")
    # The engine goes on as it began, also after another change.
    entry.settings = (*entry.settings[:-1], "changed")
    with mock.patch.object(connections, "switch", return_value=True) as switch:
        connections._use_changes()
        switch.assert_not_called()
        connections._used[entry.id] = type("Entry", (), {**vars(entry), "settings": ()})
        connections._use_changes()
        switch.assert_called_once_with(entry, True)
        # Nor is one switched on again that a person has disabled in the console.
        age_oauth.qgis.disable(entry.connection)
        switch.reset_mock()
        connections._used[entry.id] = type("Entry", (), {**vars(entry), "settings": ()})
        connections._use_changes()
        switch.assert_not_called()
        assert connections._used[entry.id] is entry


def browser_entries():
    from age_oauth_plugin import browser
    from qgis.core import QgsSettings

    settings = QgsSettings()
    settings.beginGroup(browser._ROOT)
    found = settings.childGroups()
    settings.endGroup()
    return found


run(test)
