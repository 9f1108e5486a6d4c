"""One connection: a portal, a registered application, and the signed-in user."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import _json_names as names
from . import _program, _session
from ._by_id import ById
from ._provider import Provider, Token
from .errors import SignInRequired, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import Any

    from arcgis.gis import GIS
    from httpx import AsyncClient, Client
    from requests import Session

    from .connections import ConnectionMeta
    from .oauth import OAuthIdentity

    VerifySsl = bool | str | os.PathLike[str]
    CertificateFile = str | os.PathLike[str]
else:
    # For `typing.get_type_hints`: these imports are slow, or go in a circle.
    Any = AsyncClient = Client = GIS = Session = ConnectionMeta = OAuthIdentity = VerifySsl = CertificateFile = object
    Iterable = Sequence = tuple

__all__ = ["Connection", "add_connection", "list_connections"]


class Connection(ById):
    """A connection that was added by :func:`add_connection` or ``age-oauth connections add``.

    ``connection`` is its label, its ID or the beginning of its ID, ``connection_id`` the whole ID. Without either it is
    the one that ``AGE_OAUTH_CONNECTION`` names, else the default, else the only one.

    Tokens are kept in memory and renewed before they expire. An object may be used by many threads. It can be pickled and
    copied; a pickle holds its ID and no secret.

    Raises :class:`~age_oauth.errors.ConnectionNotFound`.
    """

    def __init__(self, connection: "str | None" = None, *, connection_id: "str | None" = None) -> None:
        chosen = _program.selector(connection or None, connection_id or None)
        self._take(_program.ask("connections", "show", *chosen))

    def _take(self, facts: dict[str, Any]) -> None:
        self._facts = facts
        self._provider = Provider(None, facts[names.ID])

    @classmethod
    def _of(cls, facts: dict[str, Any]) -> "Connection":
        connection = cls.__new__(cls)
        connection._take(facts)
        return connection

    @classmethod
    def _with_token(cls, connection: "str | None", connection_id: "str | None") -> "Connection":
        """The same as the constructor for a signed-in connection, with one start of the program instead of two: the answer
        with the token has all that is needed."""
        one = cls.__new__(cls)
        one._provider = Provider(connection or None, connection_id or None)
        one._facts = one._provider.token().facts
        return one

    @property
    def id(self) -> str:
        """Its ID, which never changes."""
        return self._facts[names.ID]

    @property
    def label(self) -> str:
        """Its name, which people choose and may change."""
        return self._facts[names.CONNECTION]

    @property
    def portal_url(self) -> str:
        """The portal's root as in a browser, without a slash at its end."""
        return self._facts[names.PORTAL_URL]

    @property
    def api_url(self) -> str:
        """Where programs talk to the portal: the API URL of the connection, else :attr:`portal_url`. Build the addresses of
        requests with this one."""
        return self._facts[names.API_URL]

    @property
    def auth_type(self) -> str:
        """``"user"``, ``"app"``, ``"network"`` or ``"key"``."""
        return self._facts[names.AUTH_TYPE]

    @property
    def username(self) -> "str | None":
        """The signed-in user, or the user whose API key it is, according to what is stored; ``None`` for applications.
        :meth:`whoami` asks the portal."""
        return self._facts[names.USERNAME]

    @property
    def meta(self) -> "ConnectionMeta":
        """What is stored about it now, in the form of version 0.2."""
        from .connections import ConnectionMeta

        return ConnectionMeta._of(_program.ask("connections", "show", *_program.selector(None, self.id)))

    def token(self, min_ttl: "float | None" = None, *, url: "str | None" = None) -> str:
        """An access token that lives at least ``min_ttl`` seconds (default: a minute), if the portal issues such tokens.

        With ``url``, the token that belongs to this address: the portal's own, or that of a server that the portal issues
        tokens for. Raises :class:`~age_oauth.errors.PortalRefused` or :class:`~age_oauth.errors.UsageError` if no token may
        be sent there.

        Raises :class:`~age_oauth.errors.SignInRequired` and every other error of getting one.
        """
        return self._token_for(url, min_ttl).value

    def headers(self, url: "str | None" = None) -> "dict[str, str]":
        """The headers that a request to this address needs: the token, and the ``Referer`` if the application requires one.

        Without ``url``, for the portal. See :meth:`token`. A program that follows redirects would send them to any host.
        """
        token = self._token_for(url, None)
        headers = {"X-Esri-Authorization": f"Bearer {token.value}"}
        if token.facts[names.REFERER]:
            headers["Referer"] = token.facts[names.REFERER]
        return headers

    def _token_for(self, url: "str | None", min_ttl: "float | None") -> "Token":
        if url is None:
            return self._provider.token(min_ttl)
        from urllib.parse import urlsplit

        from ._policy import Policy

        policy = Policy(self._provider, self.portal_url, self.api_url)
        try:
            allowed = policy.may_carry(url)
        except ValueError as error:
            raise UsageError(f"this is not an address: {error}").caused_by(error) from None
        if not allowed:
            # Only its host, because an address may hold a password.
            raise UsageError(
                f"no token of `{self.label}` may be sent to this address at the host `{urlsplit(url).hostname or ''}`",
                "use an https address without a user name, `..` or a backslash",
            )
        return self._provider.token(min_ttl, policy.server(url))

    def whoami(self) -> dict[str, Any]:
        """Who the token belongs to, according to the portal: ``username``, or ``application``, ``app_id``, ``item_id`` and
        ``owner``; the fields of ``age-oauth whoami --json``.
        """
        return _program.ask("whoami", *_program.selector(None, self.id))

    def login(self, *, switch_user: bool = False) -> None:
        """Lets the person at the terminal, notebook or Python prompt sign in; as another user if ``switch_user`` is true.

        Raises :class:`~age_oauth.errors.SignInRequired` where no person can be asked. A network connection needs none: the
        web server in front of the portal says who it is. With an API key, there is nothing to sign in to, which is a
        :class:`~age_oauth.errors.UsageError`.
        """
        if self.auth_type == "key":
            raise UsageError(
                f"`{self.label}` has an API key: there is nothing to sign in to",
                _session.hint(f"age-oauth connections edit {self.id} --expires DATE --api-key-stdin"),
            )
        if self.auth_type == "network":
            self._sign_in_by_the_web_server(switch_user)
        elif not self._sign_in(*(["--switch-user"] if switch_user else [])):
            command = f"age-oauth login --connection-id {self.id}"
            if _session.in_pro():
                command = f"in a notebook or in the Python Command Prompt: {command}"
            raise SignInRequired(
                f"signing in to `{self.label}` needs a terminal, a notebook or a Python prompt that reads what you type",
                _session.hint(command),
            )

    def _sign_in_by_the_web_server(self, switch_user: bool) -> None:
        selector = _program.selector(None, self.id)
        _program.ask("login", *selector, *(["--switch-user"] if switch_user else []))
        self._provider.forget()
        self._facts = _program.ask("connections", "show", *selector)

    def _sign_in(self, *options: str) -> bool:
        from . import _sign_in

        selector = _program.selector(None, self.id)
        done = _sign_in.sign_in(selector, *options)
        if done:
            # Another user may be signed in now.
            self._provider.forget()
            self._facts = _program.ask("connections", "show", *selector)
        return done

    def edit(
        self,
        *,
        portal: "str | None" = None,
        api_url: "str | None" = None,
        client_id: "str | None" = None,
        auth_type: "str | None" = None,
        client_secret: "str | None" = None,
        client_secret_command: "str | Sequence[str] | None" = None,
        api_key: "str | None" = None,
        api_key_command: "str | Sequence[str] | None" = None,
        expires: "str | None" = None,
        verify_ssl: "VerifySsl | None" = None,
        redirect_uri: "str | None" = None,
        referer: "str | None" = None,
        proxy: "str | None" = None,
        keychain: "str | None" = None,
        client_cert: "CertificateFile | None" = None,
        client_cert_password: "str | None" = None,
        web_tier: "str | None" = None,
        pkce: "bool | None" = None,
        tags: "Iterable[str] | None" = None,
        check: bool = True,
    ) -> None:
        """Changes what is given and keeps the rest, as ``age-oauth connections edit`` does. The arguments are those of
        :func:`add_connection`; ``api_url="none"`` takes the API URL away, and
        ``client_cert="none"`` the client certificate; ``web_tier="none"`` answers no Windows sign-in.

        ``client_secret_command`` takes the place of a stored client secret, and ``client_secret`` that of a command; so do
        ``api_key_command`` and ``api_key``, which need ``expires``, too. Another portal, client ID or kind of connection ends the sign-in. Another API URL does not.
        """
        from . import _adding

        given = {
            "portal": portal,
            "api_url": api_url,
            "client_id": client_id,
            "auth_type": auth_type,
            "client_secret_command": client_secret_command,
            "api_key_command": api_key_command,
            "expires": expires,
            "verify_ssl": verify_ssl,
            "redirect_uri": redirect_uri,
            "referer": referer,
            "proxy": proxy,
            "keychain": keychain,
            "client_cert": client_cert,
            "web_tier": web_tier,
            "pkce": pkce,
            "tag": tags,
        }
        flags = [] if check else ["--no-check"]
        _adding.edit(self.id, given, client_secret, flags, client_cert_password, api_key)
        self._provider.forget(new_key=api_key is not None or api_key_command is not None)
        self._facts = _program.ask("connections", "show", *_program.selector(None, self.id))

    def ensure_signed_in(self, prompt_if_missing: bool = True) -> None:
        """Gets a token. If that needs a sign-in, lets a person sign in, unless ``prompt_if_missing`` is ``False``."""
        try:
            self._provider.token()
        except SignInRequired as error:
            # No sign-in replaces an API key.
            if error.kind == "api_key" or not (prompt_if_missing and self._sign_in()):
                raise
            self._provider.token()

    def get_gis(self, *, prompt_if_missing: bool = True, **gis_options: Any) -> "GIS":
        """An ``arcgis.gis.GIS``, signed in, whose requests renew their token by themselves.

        ``gis_options`` go to ``GIS``; ``verify_cert=False`` is refused if the connection verifies certificates, and what
        would take the place of the connection (``username``, ``token``, ``session`` …) always. ``cert_file`` and ``key_file``
        are a client certificate as PEM files, ``password`` opens its private key; only the portal's own host and port get
        it. See :func:`age_oauth.get_gis`.
        """
        from . import _gis_options

        _gis_options.refuse(gis_options)
        # `GIS` takes None and 0 for False.
        if not gis_options.get("verify_cert", True) and self._facts[names.VERIFY_SSL] != "false":
            raise UsageError(
                f"verify_cert=False is refused: tokens of `{self.label}` could be sent to any server",
                f"trust the portal's certificate authority: age-oauth connections edit {self.id} --verify-ssl FILE.pem",
            )
        from ._gis import connect

        self.ensure_signed_in(prompt_if_missing)
        return connect(self, gis_options)

    def _as_stored(self) -> "Connection":
        """This connection with the settings that are stored now, which another program may have changed."""
        one = Connection(connection_id=self.id)
        one._provider = self._provider
        return one

    def session(self) -> "Session":
        """A ``requests`` session for this connection: signed by :class:`~age_oauth.TokenAuth`, with the connection's proxy and
        certificate authority, and with the client certificate or Windows sign-in that the web server in front of the portal
        asks for. Only the portal's own scheme, host and port get these two.

        What the connection trusts counts for all hosts: a request with ``verify=False`` or ``cert`` raises
        :class:`~age_oauth.errors.UsageError`.
        """
        from ._sessions import session

        return session(self._as_stored())

    def httpx_client(self, **options: Any) -> "Client":
        """The same for ``httpx``. ``options`` go to ``httpx.Client``."""
        from ._httpx_clients import client

        return client(self._as_stored(), options)

    def httpx_async_client(self, **options: Any) -> "AsyncClient":
        """The same as an asynchronous client. ``options`` go to ``httpx.AsyncClient``.

        This waits for the program. In an event loop: ``await asyncio.to_thread(connection.httpx_async_client)``.
        """
        from ._httpx_clients import async_client

        return async_client(self._as_stored(), options)

    def get_identity(self, gis: Any = None) -> "OAuthIdentity":
        """Who the token belongs to, in the form of version 0.2."""
        from .oauth import resolve_identity

        return resolve_identity(gis, connection_id=self.id)

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Connection) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return (
            f"Connection(label={self.label!r}, id={self.id!r}, portal_url={self.portal_url!r}, "
            f"auth_type={self.auth_type!r})"
        )


def list_connections() -> "list[Connection]":
    """All connections, sorted by label."""
    return [Connection._of(facts) for facts in _program.ask("connections", "list")]


def add_connection(
    label: str,
    portal: str,
    client_id: "str | None" = None,
    *,
    auth_type: "str | None" = None,
    client_secret: "str | None" = None,
    client_secret_command: "str | Sequence[str] | None" = None,
    api_key: "str | None" = None,
    api_key_command: "str | Sequence[str] | None" = None,
    expires: "str | None" = None,
    verify_ssl: "VerifySsl | None" = None,
    redirect_uri: "str | None" = None,
    referer: "str | None" = None,
    proxy: "str | None" = None,
    keychain: "str | None" = None,
    api_url: "str | None" = None,
    client_cert: "CertificateFile | None" = None,
    client_cert_password: "str | None" = None,
    web_tier: "str | None" = None,
    tags: "Iterable[str]" = (),
    default: "bool | None" = None,
    check: bool = True,
    replace: bool = False,
) -> Connection:
    """Adds a connection, as ``age-oauth connections add`` does and with the same checks.

    ``label`` is your own short name for it, ``portal`` the portal's address as in a browser, ``client_id`` that of the
    application that is registered at the portal. ``auth_type`` is ``"user"`` (the default), or ``"app"`` for tokens of the
    application itself; its client secret is asked for if it is not given. ``client_secret_command`` is a command that prints
    it whenever it is needed, as a line such as ``"pass show arcgis/prod"`` or as a list of its words; then it is not stored. ``"network"`` (experimental) is for the user whom the
    web server in front of the portal vouches for: with ``client_cert`` or ``web_tier``, and without ``client_id``. ``"key"`` is for an API key that a user made at the
    portal, without ``client_id``: ``api_key`` (asked for if it is not given) or ``api_key_command``, a command that prints it, and
    ``expires``, the date on which it ends, such as ``"2027-06-30"``. ``verify_ssl`` is ``True``, ``False``, a file with the
    certificate authority to trust, or ``"pin:FILE"``; ``redirect_uri``, ``referer``, ``proxy`` and ``keychain`` are as in
    ``age-oauth connections add --help``. ``api_url`` is where programs reach a portal whose URL asks for a sign-in that only
    browsers can do. ``client_cert`` is a file with the client certificate that such a web server asks for and its private key
    (PKCS#12 or PEM), ``"file:PATH"`` for one that is read at each use, or ``"store:…"`` for one of the Windows certificate
    store; ``client_cert_password`` opens the file. ``web_tier="windows"`` lets the program answer Windows sign-in of such a web server, by
    your Kerberos ticket. ``default`` makes it the default connection, or not even the first one.

    With ``replace=True``, a connection that has this label gets these settings, and keeps its others and its sign-in: so a
    notebook can run this twice. ``check=False`` does not ask the portal.

    Raises :class:`~age_oauth.errors.ConnectionNotFound` with the kind ``name_taken`` if the label is in use,
    :class:`~age_oauth.errors.UsageError`, and :class:`~age_oauth.errors.PortalUnreachable`.
    """
    from . import _adding

    given = {
        "label": label,
        "portal": portal,
        "api_url": api_url,
        "client_id": client_id,
        "auth_type": auth_type,
        "client_secret_command": client_secret_command,
        "api_key_command": api_key_command,
        "expires": expires,
        "verify_ssl": verify_ssl,
        "redirect_uri": redirect_uri,
        "referer": referer,
        "proxy": proxy,
        "keychain": keychain,
        "client_cert": client_cert,
        "web_tier": web_tier,
        "tag": tags,
    }
    flags = {"--use": default is True, "--no-default": default is False, "--no-check": not check, "--replace": replace}
    wanted_flags = [flag for flag, wanted in flags.items() if wanted]
    return Connection._of(_adding.add(given, client_secret, wanted_flags, client_cert_password, api_key))
