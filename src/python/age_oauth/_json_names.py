"""The names of JSON fields and words, as the program prints them.

Generated from src/cli/json by ``AGE_OAUTH_UPDATE_DOCS=1 cargo test --lib json::generate``. Do not edit.
"""

# Fields.
ACCESS_TOKEN = "access_token"
API_URL = "api_url"
API_URL_CONFIRMED = "api_url_confirmed"
APP_ID = "app_id"
APPLICATION = "application"
AUTH_TYPE = "auth_type"
AUTHORIZE_URL = "authorize_url"
CAUSES = "causes"
CHECK = "check"
CHECKS = "checks"
CLIENT_ID = "client_id"
CLIENT_SECRET_PAGE = "client_secret_page"
CODE = "code"
COMMAND = "command"
CONNECTION = "connection"
CREATED_AT = "created_at"
DECISION = "decision"
DEFAULT = "default"
DEFAULT_CONNECTION = "default_connection"
DEFAULT_CONNECTION_ID = "default_connection_id"
DURATION_MS = "duration_ms"
ERROR = "error"
EXPECTS = "expects"
EXPIRES_AT = "expires_at"
EXPIRES_EPOCH = "expires_epoch"
EXPIRES_IN = "expires_in"
EXTENDABLE = "extendable"
EXTENSION_WAITS_UNTIL = "extension_waits_until"
FAIL = "fail"
FIXABLE = "fixable"
FOLDER = "folder"
HAS_CLIENT_SECRET = "has_client_secret"
HAS_TOKENS = "has_tokens"
HINT = "hint"
ID = "id"
ITEM_ID = "item_id"
KEYCHAIN = "keychain"
KEYCHAIN_ERROR = "keychain_error"
KEYCHAIN_REASON = "keychain_reason"
KIND = "kind"
LAST_FAILURE = "last_failure"
LAST_FAILURE_AT = "last_failure_at"
LAST_USED_AT = "last_used_at"
LEGACY_ID = "legacy_id"
MACHINE = "machine"
MESSAGE = "message"
NOTES = "notes"
OK = "ok"
OUTCOME = "outcome"
OWNER = "owner"
PARENT = "parent"
PID = "pid"
PKCE = "pkce"
PLAINTEXT_DELETED = "plaintext_deleted"
PORTAL_URL = "portal_url"
PROGRAM = "program"
PROXY = "proxy"
REASON = "reason"
REDIRECT_URI = "redirect_uri"
REFERER = "referer"
REFRESH_EXPIRES_AT = "refresh_expires_at"
REFRESH_ISSUED_AT = "refresh_issued_at"
REVOKED = "revoked"
SECRET_STORED = "secret_stored"
SEVERITY = "severity"
SIGN_IN = "sign_in"
SIGN_IN_ENDS_SOON = "sign_in_ends_soon"
SIGNED_IN_AT = "signed_in_at"
SIGNED_OUT = "signed_out"
SOURCE = "source"
STORE_BASE = "store_base"
TAGS = "tags"
TIME = "time"
TOKEN_TYPE = "token_type"
USERNAME = "username"
VERIFY_SSL = "verify_ssl"
VERSION = "version"
WARN = "warn"
WARNING = "warning"
WARNINGS = "warnings"

# Words of `decision`.
DECISION_CACHED = "cached"
DECISION_RENEWED = "renewed"
DECISION_RENEWED_BY_ANOTHER = "renewed_by_another"
DECISION_EXTENDED = "extended"
DECISION_FALLBACK = "fallback"
DECISION_SIGNED_IN = "signed_in"
DECISION_SIGNED_OUT = "signed_out"

#: The words of `kind`, and the exit code of each.
KINDS = {
    "failed": 1,
    "usage": 2,
    "sign_in_needed": 3,
    "no_connection": 4,
    "name_taken": 4,
    "ambiguous": 4,
    "keychain": 5,
    "unreachable": 6,
    "refused": 7,
    "busy": 8,
}
