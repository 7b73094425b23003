"""Django's settings: what a test chose comes by the environment, as JSON."""

from __future__ import annotations

import json
import os

_chosen = json.loads(os.environ["DJANGO_SHOP"])

SECRET_KEY = "only for tests"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "tests.integration.django_shop"]
ROOT_URLCONF = "tests.integration.django_shop.urls"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
TIME_ZONE = "Europe/Warsaw"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

_POOLED = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": _chosen["host"],
    "PORT": _chosen["port"],
    "USER": "postgres",
    "NAME": _chosen["database"],
    "CONN_MAX_AGE": None,
    "CONN_HEALTH_CHECKS": True,
    **_chosen["settings"],
}
DATABASES = {
    "default": {**_POOLED, "ATOMIC_REQUESTS": True, "TEST": {"NAME": _chosen["database"]}},
    # The same tables, with settings of its own.
    "elsewhere": {
        **_POOLED,
        "TIME_ZONE": "Asia/Tokyo",
        "OPTIONS": {**_POOLED.get("OPTIONS", {}), "assume_role": "shop_clerk"},
        "TEST": {"MIRROR": "default"},
    },
}
