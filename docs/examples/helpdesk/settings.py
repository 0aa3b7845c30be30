"""Settings of the project, as `django-admin startproject` leaves them, but for what is not used."""

from __future__ import annotations

DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "helpdesk.db"}}
INSTALLED_APPS = ["helpdesk"]
ROOT_URLCONF = "helpdesk.urls"
ALLOWED_HOSTS = ["testserver"]
SECRET_KEY = "for the example only"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
