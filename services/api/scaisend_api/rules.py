"""The rules of mail/send with the words that SendGrid has for them: seen on the wire where somebody captured them, else as documented.

Clients match on these words. A rule whose words are ours says so.
"""

from __future__ import annotations

from typing import Final

from scaisend_api.problem import Rule

_OBJECT = 'e.g. `{"email": "example@example.com"}` or `{"email": "example@example.com", "name": "Example Recipient"}`'
_P = "message.personalizations"

PERSONALIZATIONS_REQUIRED: Final = Rule(
    "-Personalizations-Errors", "The personalizations field is required and must have at least one personalization."
)
PERSONALIZATIONS_MANY: Final = Rule(
    _P,
    "The personalization block is limited to 1000 personalizations per API request. You have provided {} personalizations. "
    "Please consider splitting this into multiple requests and resending your request.",
)
RECIPIENTS_MANY: Final = Rule(_P, "There is a limit of 1000 total recipients (to + cc + bcc) per request.")
TO_REQUIRED: Final = Rule(
    f"{_P}.to",
    "The to array is required for all personalization objects, and must have at least one email object with a valid email address.",
)
RECIPIENT_EMAIL_REQUIRED: Final = Rule(f"{_P}.to", "The {} email parameter is required.")
RECIPIENT_EMAIL: Final = Rule(f"{_P}.to", "Does not contain a valid address.")
RECIPIENT_EMAIL_LONG: Final = Rule(f"{_P}.to", "The {} email exceeds the maximum total length of 320 characters")
RECIPIENT_TWICE: Final = Rule(
    "message.recipient-errors",
    "Each email address in the personalization block should be unique between to, cc, and bcc. "
    "We found the first duplicate instance of [{}] in the personalizations.{}.{} field.",
)
PERSONALIZATION_SUBJECT: Final = Rule(f"{_P}.subject", "The subject of your email must be a string at least one character in length.")
NAME_LONG: Final = Rule(f"{_P}.to", "The name exceeds the maximum length of {} characters")  # ours
SUBSTITUTIONS_DYNAMIC: Final = Rule(f"{_P}.substitutions", "Substitutions may not be used with dynamic templating")
SUBSTITUTIONS_LARGE: Final = Rule(f"{_P}.substitutions", "The substitutions of a personalization may not exceed {} bytes.")  # ours
CUSTOM_ARGS_LARGE: Final = Rule(
    f"{_P}.custom_args",
    "The combined size of both global and personalization custom arguments may not exceed {} bytes per personalization.",
)
TEMPLATE_DATA_LARGE: Final = Rule(f"{_P}.dynamic_template_data", "The dynamic template data may not exceed {} bytes.")  # ours

HEADER_NAME: Final = Rule("message.headers", "Header keys cannot contain non-ASCII characters and empty spaces.")
HEADER_RESERVED: Final = Rule("message.headers", "Header can not be one of the reserved keys.")
PERSONALIZATION_HEADER_NAME: Final = Rule(f"{_P}.headers", "Header keys cannot contain non-ASCII characters or empty spaces.")
PERSONALIZATION_HEADER_RESERVED: Final = Rule(f"{_P}.headers", "Header cannot be one of the reserved keys.")
HEADERS_LARGE: Final = Rule("message.headers", "The headers may not exceed {} bytes.")  # ours

FROM_REQUIRED: Final = Rule(
    "message.from",
    "The from object must be provided for every email send. It is an object that requires the email parameter, but may also contain a "
    'name parameter.  e.g. {"email" : "example@example.com"}  or {"email" : "example@example.com", "name" : "Example Recipient"}.',
)
FROM_EMAIL: Final = Rule("message.from", "The from email does not contain a valid address.")
FROM_EMAIL_LONG: Final = Rule("message.from", "The From email exceeds the maximum total length of 320 characters")
REPLY_TO: Final = Rule(
    "message.reply_to",
    "The `reply_to` object, when used, must at least have an `email` parameter with a valid email address and it may also contain a "
    f"`name` parameter. {_OBJECT}",
)
REPLY_TO_LONG: Final = Rule("message.reply_to", "The Reply-To email exceeds the maximum total length of 320 characters")
REPLY_TO_LIST_MANY: Final = Rule("message.reply_to_list", "There is a limit of 1000 reply_to_list addresses per request.")  # ours
REPLY_TO_LIST_TWICE: Final = Rule("message.reply_to_list", "Each email address in the reply_to_list should be unique.")  # ours
REPLY_TO_BOTH: Final = Rule("message.reply_to_list", "The reply_to and reply_to_list parameters cannot be used together.")  # ours

SUBJECT_REQUIRED: Final = Rule(
    "message.subject",
    "The subject is required. You can get around this requirement if you use a template with a subject defined or if every "
    "personalization has a subject defined.",
)
SUBJECT: Final = Rule("message.subject", "The subject of your email must be a string at least one character in length.")
SUBJECT_LARGE: Final = Rule("message.subject", "The subject may not exceed {} bytes.")  # ours
SEND_AT: Final = Rule(
    "message.send_at",
    "The `send_at` parameter is expecting a Unix timestamp as an integer. We will send immediately if you include a `send_at` timestamp "
    "that is in the past.",
)
SEND_AT_FAR: Final = Rule("message.send_at", "Scheduling more than 72 hours in advance is forbidden.")

CONTENT_REQUIRED: Final = Rule(
    "message.content",
    "Unless a valid template_id is provided, the content parameter is required. There must be at least one defined content block. We "
    "typically suggest both text/plain and text/html blocks are included, but only one block is required.",
)
CONTENT_TYPE: Final = Rule("message.content.type", "The content type must be a string at least one character in length.")
CONTENT_TYPE_CHARACTERS: Final = Rule("message.content.type", "Cannot contain ';', or CRLF characters.")
CONTENT_VALUE: Final = Rule("message.content.value", "The content value must be a string at least one character in length.")
CONTENT_ORDER: Final = Rule(
    "message.content.value",
    "Following RFC 1341, section 7.2, if either text/html or text/plain are to be sent in your email: text/plain needs to be first, "
    "followed by text/html, followed by any other content.",
)
TEMPLATE_ID_TYPE: Final = Rule("message.template_id", "The template ID must be a string, you provided {}.")
TEMPLATE_ID: Final = Rule("message.template_id", "The template_id must be a valid GUID, you provided '{}'.")

ATTACHMENT_REQUIRED: Final = Rule("message.attachments.content", "The attachment content is required.")
ATTACHMENT_BASE64: Final = Rule("message.attachments.content", "The attachment content must be base64 encoded.")
ATTACHMENT_DISPOSITION: Final = Rule(
    "message.attachments.disposition", "The disposition of your attachment can be either 'inline' or 'attachment'."
)
ATTACHMENT_TYPE: Final = Rule("message.attachments.type", "The attachment type must be a string and at least one character in length.")
ATTACHMENT_TYPE_CHARACTERS: Final = Rule("message.attachments.type", "The type cannot contain ';', or CRLF characters.")
FILENAME_REQUIRED: Final = Rule("message.attachments.filename", "filename is required.")
FILENAME: Final = Rule("message.attachments.filename", "The filename of your attachment must be a string.")
FILENAME_CHARACTERS: Final = Rule("message.attachments.filename", "The filename of your attachment cannot contain CRLF characters.")
CONTENT_ID: Final = Rule("message.attachments.content_id", "The content ID of your attachment must be a string. You provided {}.")
CONTENT_ID_CHARACTERS: Final = Rule("message.attachments.content_id", "The content ID of your attachment cannot contain CRLF characters.")

CATEGORIES: Final = Rule("message.categories", "Categories must be an array of strings.")
CATEGORIES_MANY: Final = Rule(
    "message.categories", "There is a limit of 10 categories for each email that is sent. You provided {} categories."
)
CATEGORY_LONG: Final = Rule("message.categories", "Each category must not be longer than 255 characters. {} exceeds this limit")
CATEGORY_TWICE: Final = Rule("message.categories", "The categories must be a unique list, and you have included {} more than once. ")
CATEGORY_ASCII: Final = Rule("message.categories", "Categories can not contain non-ASCII characters.")

BATCH_ID_TYPE: Final = Rule("message.batch_id", "The batch_id must be a string.")
BATCH_ID: Final = Rule("message.batch_id", "invalid batch id")
GROUP_ID_TYPE: Final = Rule("message.asm.group_id", "The ASM group ID must be an integer.")
GROUP_ID: Final = Rule("message.asm.group_id", "The ASM group ID must be a valid Group ID on your account. You provided {}.")
GROUPS_TYPE: Final = Rule("message.asm.groups_to_display", "The ASM Group IDs to display must be an array of integers.")
GROUPS: Final = Rule(
    "message.asm.groups_to_display", "All ASM groups to display must be valid ASM groups IDs on your account. You provided {}."
)
GROUPS_MANY: Final = Rule(
    "message.asm.groups_to_display", "There is a limit of 25 unsubscribe groups that can be displayed to a user at a time."
)
POOL_TYPE: Final = Rule("message.ip_pool_name", "The name of your IP pool must be a string.")
POOL: Final = Rule("message.ip_pool_name", "The IP Pool name must be a valid pool name for your account. You provided {}.")
BYPASS_ALONE: Final = Rule(
    "message.mail_settings.bypass_list_management.enable", "bypass_list_management cannot be combined with another bypass setting."
)  # ours
SETTINGS_LARGE: Final = Rule("message.mail_settings", "Settings and sections may not exceed {} bytes.")  # ours
