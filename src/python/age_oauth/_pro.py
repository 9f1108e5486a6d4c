"""ArcGIS Pro: ``arcpy.SignInToPortal`` takes a token, its referer and its end (since Pro 3.2, by Esri's page of the function)."""

from __future__ import annotations

from .errors import AgeOAuthError, PortalRefused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .connection import Connection


def sign_in(connection: "Connection") -> "Connection":
    """Gives the connection's token to ArcGIS Pro."""
    try:
        import arcpy
    except ImportError as error:
        raise AgeOAuthError(
            "there is no arcpy here: this works in ArcGIS Pro and in its Python environments alone",
            "elsewhere: age_oauth.get_gis()",
        ) from error
    token = connection._provider.token(min_ttl=600)
    try:
        arcpy.SignInToPortal(
            connection.portal_url,
            token=token.value,
            token_referer=token.facts["referer"] or "",
            token_expiry=int(token.expires_at),
        )
    except TypeError as error:
        raise AgeOAuthError("this ArcGIS Pro takes no token; it needs Pro 3.2 or newer") from error
    except Exception as error:
        raise PortalRefused(
            f"ArcGIS Pro could not sign in to {connection.portal_url} with the token of `{connection.label}`: {error}",
            f"age-oauth doctor -c {connection.id}",
        ) from error
    return connection
