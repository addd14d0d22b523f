"""Names that clusters, disks and users already depend on: changing one is a breaking change."""

from typing import Final

GROUP: Final = "metricsstorage.dev"
VERSION: Final = "v1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "MetricsStorage"
PLURAL: Final = "metricsstorages"

FINALIZER: Final = f"{GROUP}/directory"
QUARANTINE_ANNOTATION: Final = f"{GROUP}/quarantine"
UID_LABEL: Final = f"{GROUP}/uid"
VOLUME_ID_LABEL: Final = f"{GROUP}/volume-id"

# kopf hides edits of annotations under its own prefix, so it must never be GROUP itself.
KOPF_PREFIX: Final = f"kopf.{GROUP}"

COMPONENT: Final = "metrics-storage-operator"
APP_LABELS: Final = {
    "app.kubernetes.io/name": "metrics-storage",
    "app.kubernetes.io/part-of": "metrics-storage",
    "app.kubernetes.io/managed-by": COMPONENT,
}
MANAGED_SELECTOR: Final = f"app.kubernetes.io/managed-by={COMPONENT}"

STORAGE_CLASS: Final = "metrics-storage"
WAITING_STORAGE_CLASS: Final = "metrics-storage-wait-for-first-consumer"
BINDING_MODE_LABEL: Final = f"{GROUP}/volume-binding-mode"

FILESYSTEM_OWNER: Final = "1000:1000"
"""Owner of a storage directory when nothing else is asked for: the first ordinary user, as `uid:gid`."""

DIRECTORY_MODE: Final = "0770"
"""Permission bits of a storage directory when nothing else is asked for, in octal."""

CAPACITY: Final = "1Gi"
ACCESS_MODES: Final = ("ReadWriteOnce",)
