"""An archive whose names would control a terminal, and whose links and modes would harm whoever restores it."""

from tests.unit.engine.archive_site import Site
from tests.unit.engine.archiving import Archiving
from tests.unit.engine.forging import directory, file, forge, symlink


def hostile(site: Site) -> None:
    archiving = Archiving(site.root)
    evil = b"runner-0/\x1b]0;pwned\x07\n"
    forge(archiving, directory(), file(evil, mode=0o4755), symlink(b"runner-0/l", b"/etc/\x1b[2J"), file(b"runner-0/z"))
    site.put(archiving)
