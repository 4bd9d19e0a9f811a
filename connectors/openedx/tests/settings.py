"""A platform in small: the real event and filter libraries, the plugin as the platform finds it, and a few models."""

import os

from edx_django_utils.plugins import add_plugins, get_plugin_apps

SECRET_KEY = "for tests only"
SERVICE_VARIANT = "lms"
USE_TZ = True
# The usual one takes half a second for each person that a test makes up.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "campus.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("CAMPUS_DATABASE", ":memory:")}}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "campus",
    *get_plugin_apps("lms.djangoapp"),
]
# Another plugin's step, which has to stay where it is.
OPEN_EDX_FILTERS_CONFIG = {
    "org.openedx.learning.idv.page.url.requested.v1": {
        "fail_silently": False,
        "pipeline": ["campus.steps.AddsAQuery"],
        "log_level": "debug",
    },
}
# The tests choose the server; they say so before the plugin gets ready.
SCHOOLBELL_URL = os.environ.get("SCHOOLBELL_URL", "http://127.0.0.1:1")
SCHOOLBELL_TOKEN = os.environ.get("SCHOOLBELL_TOKEN", "none")
SCHOOLBELL_APP = os.environ.get("SCHOOLBELL_APP", "campus")
SCHOOLBELL_FILTERS_REFRESH = 0

add_plugins(__name__, "lms.djangoapp", "common")
