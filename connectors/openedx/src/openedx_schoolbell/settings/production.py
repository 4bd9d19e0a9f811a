"""The same, with what stands in the platform's own configuration files on top."""


def plugin_settings(settings):
    """Takes what the platform's YAML files say."""
    from openedx_schoolbell.settings.common import DEFAULTS

    for tokens in (getattr(settings, "ENV_TOKENS", {}), getattr(settings, "AUTH_TOKENS", {})):
        for name in DEFAULTS:
            if name in tokens:
                setattr(settings, name, tokens[name])
