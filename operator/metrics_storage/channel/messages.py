"""Values of the model as messages, and back. Whatever comes from the other side is checked as it is read."""

import json

from metrics_storage.channel import channel_pb2 as pb
from metrics_storage.errors import JournalError
from metrics_storage.model.error_codes import decode_error, encode_error
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Record
from metrics_storage.model.spec import StorageSpec
from metrics_storage.model.survey import Survey
from metrics_storage.model.usage import Usage


def write_identity(identity: Identity) -> pb.Identity:
    """An identity as a message."""
    return pb.Identity(namespace=identity.namespace, name=identity.name, uid=identity.uid)


def read_identity(message: pb.Identity) -> Identity:
    """The identity in a message.

    Raises:
        InvalidSpecError: a part is not what a Kubernetes API server would have issued.
    """
    return Identity(message.namespace, message.name, Uid(message.uid))


def write_spec(spec: StorageSpec) -> pb.Spec:
    """A spec as a message."""
    return pb.Spec(capacity=spec.capacity, access_modes=spec.access_modes, owner=spec.owner, mode=spec.mode)


def read_spec(message: pb.Spec) -> StorageSpec:
    """The spec in a message.

    Raises:
        InvalidSpecError: a value is out of its bounds.
    """
    return StorageSpec(message.capacity, tuple(message.access_modes), message.owner, message.mode)


def write_entry(record: Record, repairs: tuple[str, ...] = ()) -> pb.Entry:
    """A journal entry as a message."""
    return pb.Entry(record=json.dumps(record.to_json()).encode(), repairs=repairs)


def read_record(message: pb.Entry) -> Record:
    """The journal entry in a message.

    Raises:
        JournalError: no JSON, another format, or anything missing or odd.
    """
    try:
        return Record.from_json(json.loads(message.record))
    except ValueError as exc:
        raise JournalError(f"malformed: {exc}") from exc


def write_usage(usage: Usage) -> pb.Usage:
    """A usage as a message."""
    return pb.Usage(bytes=usage.bytes, files=usage.files)


def read_usage(message: pb.Usage) -> Usage:
    """The usage in a message."""
    return Usage(message.bytes, message.files)


def write_survey(survey: Survey) -> pb.Surveyed:
    """A survey as a message."""
    provided = [pb.Provided(uid=uid, usage=write_usage(usage)) for uid, usage in survey.provided.items()]
    return pb.Surveyed(uids=survey.uids, provided=provided)


def read_survey(message: pb.Surveyed) -> Survey:
    """The survey in a message; what is no uid is left out."""
    found = ((Uid.parse(each.uid), read_usage(each.usage)) for each in message.provided)
    provided = {uid: usage for uid, usage in found if uid is not None}
    return Survey([uid for uid in map(Uid.parse, message.uids) if uid is not None], provided)


def write_failure(error: Exception) -> pb.Failure:
    """An error as a message."""
    return pb.Failure(**encode_error(error))


def read_failure(message: pb.Failure) -> Exception:
    """The error in a message; one with an unknown code is an error of the base class."""
    return decode_error(
        {
            "code": message.code,
            "message": message.message,
            "errno": message.errno if message.HasField("errno") else None,
            "file": message.file if message.HasField("file") else None,
        }
    )
