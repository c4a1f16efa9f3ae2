"""What holds for every test."""

from hypothesis import settings

# A time limit for one example fails when the disk or the other core is busy.  The
# parent is hypothesis's own choice: under CI the same examples every time.
settings.register_profile("auditfold", parent=settings(), deadline=None)
settings.load_profile("auditfold")
