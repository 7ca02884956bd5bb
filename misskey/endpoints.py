"""Facts about endpoints that a server does not tell when asked for its ``endpoints``.

>>> "i/change-password" in NATIVE_ONLY_ENDPOINTS, UPLOAD_ENDPOINT
(True, 'drive/files/create')

https://misskey-hub.net/docs/for-developers/api/endpoints/
"""

from __future__ import annotations

#: Takes a file as a multipart form; all others take JSON.
UPLOAD_ENDPOINT = "drive/files/create"
#: Answer every app's token with 403 ``ACCESS_DENIED``: they are for the server's own client, as of Misskey 2025.4.1.
NATIVE_ONLY_ENDPOINTS = frozenset(
    {
        *("admin/abuse-report/notification-recipient/create", "admin/abuse-report/notification-recipient/delete"),
        *("admin/abuse-report/notification-recipient/list", "admin/abuse-report/notification-recipient/show"),
        *("admin/abuse-report/notification-recipient/update", "admin/emoji/import-zip"),
        *("admin/system-webhook/create", "admin/system-webhook/delete", "admin/system-webhook/list"),
        *("admin/system-webhook/show", "admin/system-webhook/test", "admin/system-webhook/update", "auth/accept"),
        *("export-custom-emojis", "fetch-external-resources", "i/2fa/done", "i/2fa/key-done", "i/2fa/password-less"),
        *("i/2fa/register", "i/2fa/register-key", "i/2fa/remove-key", "i/2fa/unregister", "i/2fa/update-key"),
        *("i/apps", "i/authorized-apps", "i/change-password", "i/delete-account", "i/export-antennas"),
        *("i/export-blocking", "i/export-clips", "i/export-favorites", "i/export-following", "i/export-mute"),
        *("i/export-notes", "i/export-user-lists", "i/import-antennas", "i/import-blocking", "i/import-following"),
        *("i/import-muting", "i/import-user-lists", "i/move", "i/regenerate-token", "i/registry/scopes-with-domain"),
        *("i/revoke-token", "i/signin-history", "i/update-email", "i/webhooks/test", "miauth/gen-token", "page-push"),
        *("sw/register", "sw/show-registration", "sw/update-registration"),
    }
)
