from assetsearch.settings import *  # noqa: F403

INSTALLED_APPS += ["tests.faults.poisonous.PoisonousConfig"]  # noqa: F405
