"""Settings of all tests."""

from hypothesis import settings

# no deadline: the first example pays for imports, and machines are shared
settings.register_profile("hwprofile", deadline=None)
settings.load_profile("hwprofile")
