"""Every setting with its default. What the environment says is the default of the default."""

import os

DEFAULTS = {
    "SCHOOLBELL_URL": "",
    "SCHOOLBELL_TOKEN": "",
    "SCHOOLBELL_APP": "",
    "SCHOOLBELL_TIMEOUT": 10.0,
    "SCHOOLBELL_HANDOVER": "async",
    "SCHOOLBELL_OUTBOX": "",
    "SCHOOLBELL_OUTBOX_MAX_MB": 1024,
    "SCHOOLBELL_SEND_CREDENTIALS": False,
    "SCHOOLBELL_FILTERS_TIMEOUT": 12.0,
    "SCHOOLBELL_FILTERS_WHEN_UNREACHABLE": "pass",
    "SCHOOLBELL_FILTERS_MESSAGE": "This is not possible at the moment. Please try again later.",
    "SCHOOLBELL_FILTERS_REFRESH": 10.0,
}


def plugin_settings(settings):
    """Sets what is not set yet."""
    for name, default in DEFAULTS.items():
        if not hasattr(settings, name):
            setattr(settings, name, os.environ.get(name, default))
