"""What one request may hold. SendGrid's numbers, and ours where it has none: what travels with every delivery must be bounded."""

from __future__ import annotations

from dataclasses import dataclass

PERSONALIZATIONS = 1000
RECIPIENTS = 1000  # to, cc and bcc over the whole request
EMAIL_LENGTH = 320
NAME_LENGTH = 500  # ours
SUBJECT_BYTES = 10_000  # ours
HEADERS_BYTES = 64 * 1024  # ours: common and own headers together
SUBSTITUTIONS_BYTES = 50_000
TEMPLATE_DATA_BYTES = 128 * 1024  # ours
SETTINGS_BYTES = 128 * 1024  # ours: mail_settings, tracking_settings and sections as JSON
SEND_AT_SECONDS = 72 * 3600
PROBLEMS = 1000  # as many are told at once


@dataclass(frozen=True, slots=True)
class Limits:
    """Those that an operator may change. SendGrid documents 10,000 bytes of custom_args in one place and 50,000 in another."""

    custom_args_bytes: int = 50_000
