"""ArcGIS Pro: ``arcpy.SignInToPortal`` takes a token, its referer and its expiry (since Pro 3.2, according to Esri's documentation)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _json_names as names
from .errors import AgeOAuthError, PortalRefused

if TYPE_CHECKING:
    from .connection import Connection


def sign_in(connection: Connection) -> Connection:
    """Gives the connection's token to ArcGIS Pro."""
    try:
        import arcpy
    except ImportError as error:
        raise AgeOAuthError(
            "there is no arcpy here: this works only in ArcGIS Pro and its Python environments",
            "elsewhere: age_oauth.get_gis()",
        ) from error
    token = connection._provider.token(min_ttl=600)
    try:
        arcpy.SignInToPortal(
            connection.portal_url,
            token=token.value,
            token_referer=token.facts[names.REFERER] or "",
            token_expiry=int(token.expires_at),
        )
    except TypeError as error:
        raise AgeOAuthError("this version of ArcGIS Pro does not accept tokens; Pro 3.2 or newer is needed") from error
    except Exception as error:
        raise PortalRefused(
            f"ArcGIS Pro could not sign in to {connection.portal_url} with the token of `{connection.label}`: {error}",
            f"age-oauth doctor -c {connection.id}",
        ) from error
    return connection
