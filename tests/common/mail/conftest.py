"""Property tests here take no deadline: on a busy machine one example may take long."""

from hypothesis import settings

settings.register_profile("mail", deadline=None)
settings.load_profile("mail")
