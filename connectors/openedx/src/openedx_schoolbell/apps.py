"""The plugin as the platform finds it: through the entry points `lms.djangoapp` and `cms.djangoapp`."""

import logging

from django.apps import AppConfig

log = logging.getLogger(__name__)


class SchoolbellConfig(AppConfig):
    """Hears every event and stands in the pipeline of every filter, once all other apps are there."""

    name = "openedx_schoolbell"
    label = "openedx_schoolbell"
    verbose_name = "Schoolbell"
    default_auto_field = "django.db.models.AutoField"

    plugin_app = {
        "settings_config": {
            domain: {
                "common": {"relative_path": "settings.common"},
                "production": {"relative_path": "settings.production"},
                "devstack": {"relative_path": "settings.production"},
                "test": {"relative_path": "settings.test"},
            }
            for domain in ("lms.djangoapp", "cms.djangoapp")
        },
    }

    def ready(self):
        # What goes wrong here must not keep the platform from starting.
        try:
            from openedx_schoolbell.config import config

            if not config().is_complete:
                log.warning("Schoolbell is not connected: set SCHOOLBELL_URL, SCHOOLBELL_TOKEN and SCHOOLBELL_APP")
                return
            from openedx_schoolbell import receivers
            from openedx_schoolbell.filters import registration

            receivers.connect()
            registration.register()
        except Exception:
            log.exception("Schoolbell could not be connected")
