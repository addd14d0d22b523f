"""A storage volume and its quarantine volume belong together, and each remembers the other.

So neither is taken for a new one because it is empty: an empty directory beside a volume that has a partner is a
volume that is not mounted.
"""

from contextlib import ExitStack
from pathlib import Path

from metrics_storage.engine.volume.volume import Role, Volume, has_marker
from metrics_storage.errors import VolumeError


def open_pair(stack: ExitStack, storage_root: Path, quarantine_root: Path, *, new: bool) -> tuple[Volume, Volume]:
    """Open both volumes; they are closed with `stack`.

    `new` says that nothing refers to older volumes, so that empty directories may become volumes. A volume that a
    person has just initialised has no partner yet, and replaces the one that was lost.

    Raises:
        VolumeError: one is missing, unusable or another's partner.
    """
    roots = {Role.STORAGE: storage_root, Role.QUARANTINE: quarantine_root}
    volumes: dict[Role, Volume] = {}
    # The marked one first: it knows whether the other may be new.
    for role in sorted(roots, key=lambda role: not has_marker(roots[role])):
        partner = next((volume.partner for volume in volumes.values()), None)
        if partner and not has_marker(roots[role]):
            raise VolumeError(
                f"{role} volume {roots[role]} has no marker, but its partner knows it as {partner}: is it mounted? If "
                f"it is lost or to be replaced: metrics-storage init-volume {role} {roots[role]}"
            )
        volumes[role] = stack.enter_context(Volume(roots[role], role, initialise=new))
    storage, quarantine = volumes[Role.STORAGE], volumes[Role.QUARANTINE]
    if storage.partner and quarantine.partner and (storage.partner, quarantine.partner) != (quarantine.id, storage.id):
        raise VolumeError(
            f"storage volume {storage_root} ({storage.id}) belongs with {storage.partner}, and quarantine volume "
            f"{quarantine_root} ({quarantine.id}) with {quarantine.partner}: mount those that belong together"
        )
    storage.remember(quarantine)
    quarantine.remember(storage)
    return storage, quarantine
