"""Settings of all tests."""

import signal

from hypothesis import settings

# no deadline: the first example pays for imports, and machines are shared
settings.register_profile("hwprofile", deadline=None)
settings.load_profile("hwprofile")

# a shell starts background programs, such as these tests may be, with SIGINT ignored; commands inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)
