"""Signs QGIS in: its layers of ArcGIS feature and map services, and its browser panel, get the tokens of connections.

``age_oauth.qgis.enable("prod")`` in QGIS's Python console, in ``startup.py``, in a script of ``qgis_process`` or in a program
with PyQGIS. See docs/qgis.md.

Only requests that QGIS's own ArcGIS code makes are signed. Nothing here raises within a request, since that would end QGIS.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
from collections.abc import Callable, Iterable

from qgis.core import (
    Qgis,
    QgsDataSourceUri,
    QgsMapLayer,
    QgsMessageLog,
    QgsNetworkAccessManager,
    QgsNetworkRequestParameters,
    QgsProject,
)
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QByteArray, QCoreApplication, QEvent, QObject, Qt, QThread, QTimer, pyqtSignal
from qgis.PyQt.QtNetwork import QNetworkAccessManager, QNetworkReply, QNetworkRequest, QSsl, QSslCertificate, QSslConfiguration, QSslKey

from . import _json_names as names
from . import _files, _program, _rejection, _trust
from ._background import Run
from ._signer import WAIT, Answer, Disabled, Portal, Signer, address, concerns, is_edit
from .connection import Connection
from .connections import trust
from .errors import AgeOAuthError, ConnectionNotFound, UsageError

__all__ = ["belongs", "disable", "enable", "enable_by_id"]

#: What QGIS's own ArcGIS code calls itself, from QGIS 3.22 on. Requests of web views, pictures and
#: other plugins have another name, or none.
_INITIATORS = frozenset(
    ("QgsArcGisRestUtils", "QgsArcGisAsyncQuery", "QgsArcGisAsyncParallelQuery", "QgsAmsTiledImageDownloadHandler")
)

#: The providers whose layers are loaded again.
_FEATURES = "arcgisfeatureserver"
_PROVIDERS = (_FEATURES, "arcgismapserver")

_HEADER = b"X-Esri-Authorization"
_TITLE = "age-oauth"

#: With windows, a request waits for its token until so many seconds after the program was asked for
#: it: while a person moves the map, drawings that are canceled hold their threads so long.
_WAIT_OF_WINDOWS = 5.0

#: A layer whose requests are under way is tried again after so many milliseconds.
_AGAIN = 250

#: So many addresses are remembered whose answers in QGIS's cache are those of this sign-in.
_FETCHED = 20000

_INITIATOR = QgsNetworkRequestParameters.RequestAttributes.AttributeInitiatorClass
# An enum of PyQt 6 is not a number, but has one.
_INITIATOR = QNetworkRequest.Attribute(int(getattr(_INITIATOR, "value", _INITIATOR)))
_STATUS = QNetworkRequest.Attribute.HttpStatusCodeAttribute
#: What this package has put into a request. Copies of the request have it, too.
_GIVEN = QNetworkRequest.Attribute.UserMax
_TOKEN, _REFERER, _CERTIFICATE = "token", "referer", "certificate"

_lock = threading.Lock()
_hook: "_Hook | None" = None


def enable(*connections: "str | Connection", servers: "Iterable[str]" = ()) -> None:
    """Signs QGIS's ArcGIS layers with these connections; without any, with the one that ``Connection()`` takes.

    May be called again: for another connection, or after a sign-in, to load again what failed before. ``servers`` names
    federated servers of one connection whose portal does not list them.

    Raises :class:`~age_oauth.errors.ConnectionNotFound`, and :class:`~age_oauth.errors.UsageError` if two connections belong to
    the same server. A sign-in that is missing is reported in QGIS's message log.
    """
    chosen = [one if isinstance(one, Connection) else Connection(one) for one in connections] or [Connection()]
    if isinstance(servers, str):
        servers = [servers]
    if servers and len(chosen) > 1:
        raise UsageError("`servers` belongs to one connection", "call `enable` for each connection")
    global _hook
    with _lock:
        hook = _hook or _Hook()
        hook.begin_again()
        hook.signer.add(*chosen, servers=servers)
        hook.disabled.difference_update(one.id for one in chosen)
        if _hook is None:
            hook.install()
            _hook = hook


def enable_by_id(ids: "Iterable[str]", ended: "Callable[[dict[str, AgeOAuthError]], None]") -> None:
    """As :func:`enable` for connections with these IDs, but returns at once: the program is asked for them in a thread of its
    own. For QGIS's start. Requests of QGIS's ArcGIS code wait for the connections, as they wait for a token.

    ``ended`` is called in that thread with what went wrong, by ID. It may call :func:`disable`.
    """
    global _hook
    ids = list(ids)
    with _lock:
        hook = _hook or _Hook()
        hook.begin_again()
        run = hook.opening = Run()
        hook.openings.add(run)
        hook.disabled.difference_update(ids)
        if _hook is None:
            hook.install()
            _hook = hook
    threading.Thread(target=_open, args=(hook, run, ids, ended), name="age-oauth connections", daemon=True).start()


def _open(hook: "_Hook", run: Run, ids: "list[str]", ended: "Callable[[dict[str, AgeOAuthError]], None]") -> None:
    wrong: "dict[str, AgeOAuthError]" = {}
    try:
        listed = {facts[names.ID]: facts for facts in _program.ask("connections", "list")}
        known = [Connection._of(listed[one]) for one in ids if one in listed]
        gone = ConnectionNotFound("the connection does not exist any more")
        wrong.update((one, gone) for one in ids if one not in listed)
        with _lock:
            if _hook is hook:
                wrong.update(_added(hook, [one for one in known if one.id not in hook.disabled]))
            else:
                closed = Disabled("all connections were disabled in QGIS before this one was read")
                wrong.update((one.id, closed) for one in known if one.id not in hook.disabled)
    except AgeOAuthError as error:
        wrong.update((one, error) for one in ids)
    except BaseException:
        _program.log().error("the connections could not be enabled", exc_info=True)
        wrong.update((one, AgeOAuthError("the connections could not be read", "age-oauth doctor")) for one in ids)
    finally:
        run.end()
        with _lock:
            hook.openings.discard(run)
            if not hook.openings:
                hook.disabled.clear()
        if all(isinstance(error, (ConnectionNotFound, UsageError)) for error in wrong.values()):
            hook.remove_later()
        _guarded(ended, wrong)


def _added(hook: "_Hook", connections: "list[Connection]") -> "dict[str, AgeOAuthError]":
    """Enables each of these connections, and says of which this is not possible."""
    try:
        hook.signer.add(*connections)
        return {}
    except UsageError:
        wrong: "dict[str, AgeOAuthError]" = {}
    for one in connections:
        try:
            hook.signer.add(one)
        except UsageError as error:
            wrong[one.id] = error
    return wrong


def is_enabled(connection: "str | Connection") -> bool:
    """Whether QGIS's layers are signed with this connection now. One that :func:`enable_by_id` still reads is not enabled yet."""
    hook = _hook
    return hook is not None and any(one.id == _id_of(connection) for one in hook.signer.portals)


def belongs(connection: "str | Connection", url: str) -> "bool | None":
    """Whether an address is that of a service whose requests are signed with this connection; ``None`` while that is not
    known, because the portal has not listed its servers yet. ``False`` for a connection that is not enabled."""
    hook = _hook
    if hook is None:
        return False
    return hook.signer.belongs(_id_of(connection), url)


def _id_of(connection: "str | Connection") -> str:
    return (connection if isinstance(connection, Connection) else Connection(connection)).id


def disable(*connections: "str | Connection") -> None:
    """Signs no more requests with these connections; without any, with none, and removes the hook from QGIS.

    Answers that QGIS keeps on disk stay there; ``QgsNetworkAccessManager.instance().cache().clear()`` removes them.
    """
    global _hook
    with _lock:
        if _hook is None:
            return
        for one in connections:
            connection_id = _id_of(one)
            _hook.signer.remove(connection_id)
            if _hook.openings:
                _hook.disabled.add(connection_id)
        if not connections or _hook.is_unused():
            _hook.remove()
            _hook = None


def _remove_unused() -> None:
    """Removes the hook, if there is no connection for it."""
    global _hook
    with _lock:
        if _hook is not None and _hook.is_unused():
            _hook.remove()
            _hook = None


def _at_the_end() -> None:
    disable()


# The interpreter must not be called for a request after its end.
atexit.register(disable)


class _Hook:
    """What QGIS calls before and after each request, on the thread of the request."""

    def __init__(self) -> None:
        self._told: "set[str]" = set()
        self.signer = Signer(self._tell, self._came)
        self._tls: "dict[str, _Tls]" = {}
        #: Addresses, as hashes, whose answers were fetched with this sign-in.
        self._fetched: "set[int]" = set()
        self._layers = _Layers(self.signer)
        self._ids: "tuple[str, str] | None" = None
        #: The question for the connections that `enable_by_id` has asked last.
        self.opening: "Run | None" = None
        #: All such questions that are under way, and the IDs that were disabled meanwhile.
        self.openings: "set[Run]" = set()
        self.disabled: "set[str]" = set()

    def is_unused(self) -> bool:
        """Whether there is no connection, and none will come."""
        return not self.signer.portals and not self.openings

    def remove_later(self) -> None:
        """Removes the hook if it is unused. In the main thread: requests that have just waited still use it."""
        if not sip.isdeleted(self._layers):
            self._layers.unused.emit()

    def install(self) -> None:
        before = QgsNetworkAccessManager.setRequestPreprocessor(_before)
        self._ids = before, QgsNetworkAccessManager.setReplyPreprocessor(_after)
        application = QCoreApplication.instance()
        if application is not None:
            # Before QGIS waits for the threads that wait here.
            application.aboutToQuit.connect(_at_the_end)

    def remove(self) -> None:
        self.signer.remove()
        if self.opening is not None:
            # Requests that wait for the connections wait no longer.
            self.opening.end()
        ids, self._ids = self._ids, None
        if ids is not None:
            # Each by itself: one of them may be gone already.
            _guarded(QgsNetworkAccessManager.removeRequestPreprocessor, ids[0])
            _guarded(QgsNetworkAccessManager.removeReplyPreprocessor, ids[1])
            application = QCoreApplication.instance()
            if application is not None:
                _guarded(application.aboutToQuit.disconnect, _at_the_end)
        if not sip.isdeleted(self._layers):
            self._layers.deleteLater()

    def begin_again(self) -> None:
        """Tells again what is wrong, takes nothing from the cache that was there before, and loads again what failed."""
        self._told.clear()
        self._fetched.clear()
        if _is_main_thread():
            self._layers.remember_failed()

    def sign(self, request: QNetworkRequest) -> None:
        try:
            self._sign(request)
        except AgeOAuthError as error:
            self._tell(error.message, error.message)

    def _sign(self, request: QNetworkRequest) -> None:
        given = request.attribute(_GIVEN)
        if given:
            # A copy of a signed request, which may be for another address or hold an old token.
            _take_away(request, str(given).split())
        if request.attribute(_INITIATOR) not in _INITIATORS or _has_own_token(request):
            return
        url = _url(request)
        longest_wait = _longest_wait()
        self._wait_for_connections(url, longest_wait)
        try:
            answer = self.signer.answer(url, longest_wait)
        finally:
            if longest_wait > 0:
                # QGIS posts to a drawing's thread that its request is canceled. If this arrives
                # after the request was sent, QGIS drops the reply and waits for it forever.
                QCoreApplication.sendPostedEvents(None, QEvent.Type.MetaCall)
        if answer is None:
            return
        if answer.portal is None:
            # It carries nothing, and its host may be anyone's. QGIS without windows would hang at a
            # server whose authority only the connection knows.
            for portal in self.signer.portals:
                self._tls_of(portal).trust(request)
            return
        # A redirect would take the headers along to any host. QGIS's own ArcGIS code follows
        # redirects by a new request.
        request.setAttribute(
            QNetworkRequest.Attribute.RedirectPolicyAttribute, QNetworkRequest.RedirectPolicy.ManualRedirectPolicy
        )
        given = []
        if self._tls_of(answer.portal).apply(request, answer, answer.portal.has_origin(url)):
            given.append(_CERTIFICATE)
        if answer.token is not None:
            given.append(_TOKEN)
            request.setRawHeader(_HEADER, b"Bearer " + answer.token.encode("ascii"))
            if answer.portal.referer:
                given.append(_REFERER)
                request.setRawHeader(b"Referer", answer.portal.referer.encode("utf-8"))
        elif answer.is_late:
            request.setAttribute(QNetworkRequest.Attribute.CacheSaveControlAttribute, False)
        if given:
            request.setAttribute(_GIVEN, " ".join(given))
        if hash(url) not in self._fetched:
            # The cache may hold a refusal, or what another user has fetched.
            request.setAttribute(
                QNetworkRequest.Attribute.CacheLoadControlAttribute, QNetworkRequest.CacheLoadControl.AlwaysNetwork
            )

    def _wait_for_connections(self, url: str, longest_wait: float) -> None:
        opening = self.opening
        if opening is not None and not opening.wait(opening.began + longest_wait - time.monotonic()):
            self.signer.remember_late(url)

    def watch(self, reply: QNetworkReply) -> None:
        if reply.request().attribute(_GIVEN) and not _is_main_thread():
            reply.installEventFilter(_Finishes(reply))
        token = _token(reply.request())
        if self.signer.is_ours(token):
            reply.finished.connect(lambda: _guarded(self._look, reply, token))
        if self._is_edit(reply):
            reply.finished.connect(lambda: _guarded(self._look_at_edit, reply))
        if _is_main_thread() and reply.request().attribute(_INITIATOR) in _INITIATORS:
            self._layers.sent(_url(reply.request()), reply)

    def _is_edit(self, reply: QNetworkReply) -> bool:
        """Whether the request saves what a person has edited in a layer of one of the connections, or may do so: while their
        servers are not known, it leaves unsigned."""
        request = reply.request()
        if reply.operation() != QNetworkAccessManager.Operation.PostOperation or request.attribute(_INITIATOR) not in _INITIATORS:
            return False
        url = _url(request)
        if not is_edit(url):
            return False
        return bool(self.openings) or any(self.signer.belongs(one.id, url) is not False for one in self.signer.portals)

    def _look_at_edit(self, reply: QNetworkReply) -> None:
        """QGIS takes an edit for saved whose answer is an error of ArcGIS with the status 200, and shows it as saved."""
        start = bytes(reply.peek(_rejection.LONGEST))
        code = _rejection.error_code(start)
        if code is None and not _rejection.is_error(start):
            return
        what = "an error" if code is None else f"the error {code}"
        where = address(_url(reply.request()))
        text = (
            f"an edit was NOT saved, although QGIS shows it: the server answered with {what} at {where}. Open the layer again to see "
            "what is saved, and repeat the edit"
        )
        _program.log().error("%s", text)
        QgsMessageLog.logMessage(text, _TITLE, Qgis.MessageLevel.Critical)

    def _look(self, reply: QNetworkReply, token: str) -> None:
        """Looks at the beginning of an answer, without taking it from whom it is for."""
        url = _url(reply.request())
        code = None
        if b'"error"' in bytes(reply.peek(_BEGINNING)):
            code = _rejection.error_code(bytes(reply.peek(_rejection.LONGEST)))
        if code in _rejection.CODES or reply.attribute(_STATUS) in _rejection.CODES:
            cache = reply.manager().cache()
            if cache is not None:
                cache.remove(reply.request().url())
            self._fetched.discard(hash(url))
            self.signer.rejected(url, token)
        elif code is None and reply.error() == QNetworkReply.NetworkError.NoError:
            if len(self._fetched) >= _FETCHED:
                self._fetched.clear()
            self._fetched.add(hash(url))

    def _tls_of(self, portal: Portal) -> "_Tls":
        found = self._tls.get(portal.id)
        if found is None or found.portal is not portal:
            found = self._tls[portal.id] = _Tls(portal)
        return found

    def _came(self) -> None:
        """Called in other threads. A signal goes to the main thread."""
        self._layers.needed.emit()

    def _tell(self, about: str, text: str) -> None:
        if about in self._told:
            return
        self._told.add(about)
        _program.log().warning("%s", text)
        # QGIS shows these messages as HTML, and what a portal says may be part of one.
        QgsMessageLog.logMessage(text.replace("<", "\u2039"), _TITLE, Qgis.MessageLevel.Warning)


#: Errors of ArcGIS begin with the word, within so many bytes.
_BEGINNING = 64


def _before(request: QNetworkRequest) -> None:
    hook = _hook
    if hook is not None:
        _guarded(hook.sign, request)


def _after(_request: QNetworkRequest, reply: QNetworkReply) -> None:
    hook = _hook
    if hook is not None:
        _guarded(hook.watch, reply)


def _guarded(function: object, *arguments: object) -> None:
    """Calls a function within a request. An exception would end QGIS."""
    try:
        function(*arguments)  # type: ignore[operator]
    except BaseException:
        try:
            _program.log().error("an error within a request of QGIS", exc_info=True)
        except BaseException:
            pass


def _is_main_thread() -> bool:
    application = QCoreApplication.instance()
    return application is not None and QThread.currentThread() == application.thread()


def _url(request: QNetworkRequest) -> str:
    return bytes(request.url().toEncoded()).decode("ascii")


def _longest_wait() -> float:
    """How long this thread may wait for a token, in seconds."""
    if _is_main_thread():
        return 0.0
    # The module has it in QGIS with windows alone.
    has_windows = getattr(sys.modules.get("qgis.utils"), "iface", None) is not None
    return _WAIT_OF_WINDOWS if has_windows else WAIT


def _token(request: QNetworkRequest) -> str:
    """The token in the header that this package sets; empty if there is none."""
    return bytes(request.rawHeader(_HEADER)).decode("ascii", "replace").partition(" ")[2]


def _take_away(request: QNetworkRequest, given: "list[str]") -> None:
    """Takes away what this package has put into the request that this one is a copy of."""
    request.setAttribute(_GIVEN, None)
    if _TOKEN in given:
        request.setRawHeader(_HEADER, QByteArray())
    if _REFERER in given:
        request.setRawHeader(b"Referer", QByteArray())
    if _CERTIFICATE in given:
        configuration = request.sslConfiguration()
        configuration.setLocalCertificateChain([])
        configuration.setPrivateKey(QSslKey())
        request.setSslConfiguration(configuration)


def _has_own_token(request: QNetworkRequest) -> bool:
    """Whether the layer has a sign-in of its own, in QGIS's settings or in its address."""
    if request.hasRawHeader(_HEADER) or request.hasRawHeader(b"Authorization"):
        return True
    query = request.url().query().lower()
    return query.startswith("token=") or "&token=" in query


class _Tls:
    """What the TLS connections to one portal and its servers need beside what QGIS is set to."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        # `verify_ssl` false changes nothing: QGIS decides about certificates as for any server.
        _, bundle = trust(portal.facts[names.VERIFY_SSL])
        self._is_pinned = _trust.is_pinned(bundle)
        self._authorities = _certificates(bundle, portal.label) if bundle is not None else []
        self._made: "tuple[object, object, object] | None" = None

    def apply(self, request: QNetworkRequest, answer: Answer, is_to_portal: bool) -> bool:
        """Whether the request now presents the client certificate. A layer's own one stays."""
        if not self._authorities and answer.certificate is None:
            return False
        configuration = request.sslConfiguration()
        if not self._is_pinned:
            _add_authorities(configuration, self._authorities)
        elif is_to_portal:
            # For Qt, what is pinned is an authority. It must not be one for other servers.
            configuration.setCaCertificates(self._authorities)
        presents = answer.certificate is not None and configuration.localCertificate().isNull()
        if presents:
            chain, key = self._presented(answer.certificate)
            configuration.setLocalCertificateChain(chain)
            configuration.setPrivateKey(key)
        request.setSslConfiguration(configuration)
        return presents

    def trust(self, request: QNetworkRequest) -> None:
        """Adds the authorities of the connection, if it has some beside those of the system."""
        if self._authorities and not self._is_pinned:
            configuration = request.sslConfiguration()
            _add_authorities(configuration, self._authorities)
            request.setSslConfiguration(configuration)

    def _presented(self, certificate: "dict[str, object]") -> "tuple[object, object]":
        """The chain and the private key, in memory."""
        made = self._made
        if made is None or made[0] is not certificate:
            chain = QSslCertificate.fromData(_bytes(certificate[names.CERTIFICATE]), QSsl.EncodingFormat.Pem)
            key = _key(_bytes(certificate[names.PRIVATE_KEY]), _bytes(certificate[names.PRIVATE_KEY_PASSWORD]))
            if not chain or key is None:
                raise UsageError(f"this QGIS cannot use the client certificate of `{self.portal.label}`")
            made = self._made = certificate, chain, key
        return made[1], made[2]


def _bytes(text: object) -> bytes:
    return str(text).encode("ascii")


def _key(pem: bytes, password: bytes) -> "QSslKey | None":
    for algorithm in (QSsl.KeyAlgorithm.Rsa, QSsl.KeyAlgorithm.Ec):
        key = QSslKey(pem, algorithm, QSsl.EncodingFormat.Pem, QSsl.KeyType.PrivateKey, password)
        if not key.isNull():
            return key
    return None


def _certificates(path: str, label: str) -> "list[QSslCertificate]":
    try:
        data = _files.read(path)
    except OSError as error:
        raise _trust.unreadable(path, label, label, error).caused_by(error) from None
    return QSslCertificate.fromData(data, QSsl.EncodingFormat.Pem)


def _add_authorities(configuration: QSslConfiguration, own: "list[QSslCertificate]") -> None:
    if hasattr(configuration, "addCaCertificates"):  # From Qt 5.15 on.
        configuration.addCaCertificates(own)
    else:
        configuration.setCaCertificates([*configuration.caCertificates(), *own])


class _Finishes(QObject):
    """Ends a reply that is deleted before its end. QGIS (3.22 and 3.40) deletes that of a drawing that is canceled, and then
    often waits for its end for ever: the drawing keeps its thread, and closing the project waits for it."""

    def eventFilter(self, reply: QObject, event: QEvent) -> bool:  # noqa: N802 (Qt calls it so)
        if event.type() == QEvent.Type.DeferredDelete:
            _guarded(_finish, reply)
        return False


def _finish(reply: QObject) -> None:
    if isinstance(reply, QNetworkReply) and reply.isRunning():
        reply.abort()


class _Layers(QObject):
    """Loads layers again, on the main thread."""

    needed = pyqtSignal()
    #: There may be no connection any more.
    unused = pyqtSignal()

    def __init__(self, signer: Signer) -> None:
        super().__init__()
        self._signer = signer
        #: Requests that the main thread has sent: the legends of map layers, for example.
        self._sent: "list[tuple[str, QNetworkReply]]" = []
        #: Addresses that wait for the end of these requests.
        self._waiting: "set[str]" = set()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_AGAIN)
        self._timer.timeout.connect(self._reload)
        self._reloads = False
        application = QCoreApplication.instance()
        if application is not None:
            self.moveToThread(application.thread())
        # Queued, so that QGIS has handled the reply within which this may be emitted.
        self.needed.connect(self._reload, Qt.ConnectionType.QueuedConnection)
        self.unused.connect(self._remove_unused, Qt.ConnectionType.QueuedConnection)

    def _remove_unused(self) -> None:
        _guarded(_remove_unused)

    def remember_failed(self) -> None:
        """Layers that failed before are loaded again when there is a token for them."""
        for layer in QgsProject.instance().mapLayers().values():
            provider = layer.providerType()
            if provider in _PROVIDERS and not _has_metadata(layer, provider):
                self._signer.remember_late(QgsDataSourceUri(layer.source()).param("url"))

    def sent(self, url: str, reply: QNetworkReply) -> None:
        self._sent = [one for one in self._sent if _is_under_way(one[1])]
        self._sent.append((address(url), reply))

    def _reload(self) -> None:
        _guarded(self._reload_late)

    def _reload_late(self) -> None:
        if self._reloads:  # Events that QGIS lets happen while it loads a layer.
            self._timer.start()
            return
        late = {*self._signer.take_late(), *self._waiting}
        self._waiting.clear()
        if not late:
            return
        self._reloads = True
        try:
            for layer in list(QgsProject.instance().mapLayers().values()):
                provider = layer.providerType()
                url = QgsDataSourceUri(layer.source()).param("url")
                if provider in _PROVIDERS and concerns(url, late):
                    _guarded(self._reload_layer, layer, provider, url, late)
        finally:
            self._reloads = False

    def _reload_layer(self, layer: QgsMapLayer, provider: str, url: str, late: "set[str]") -> None:
        if sip.isdeleted(layer):
            return
        has_metadata = _has_metadata(layer, provider)
        is_legend_late = f"{address(url)}/legend" in late
        if (is_legend_late or not has_metadata) and any(
            concerns(url, [one]) and _is_under_way(reply) for one, reply in self._sent
        ):
            # QGIS 3.22 crashes if the provider of a map layer is replaced while its legend is on
            # its way.
            self._waiting.update(one for one in late if concerns(url, [one]))
            self._timer.start()
            return
        _program.log().info("loading the layer `%s` again", layer.name())
        if has_metadata:
            layer.dataProvider().reloadData()
        else:
            layer.setDataSource(layer.source(), layer.name(), provider)
        if is_legend_late:
            layer.legendChanged.emit()
        layer.triggerRepaint()


def _is_under_way(reply: QNetworkReply) -> bool:
    return not sip.isdeleted(reply) and not reply.isFinished()


def _has_metadata(layer: QgsMapLayer, provider: str) -> bool:
    # QGIS takes a map layer for valid that has none. It has no extent then.
    return layer.isValid() and (provider == _FEATURES or not layer.dataProvider().extent().isEmpty())
