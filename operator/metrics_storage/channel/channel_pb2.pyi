from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FromAgent(_message.Message):
    __slots__ = ("hello", "result")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    result: Result
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ...) -> None: ...

class ToAgent(_message.Message):
    __slots__ = ("welcome", "call")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    call: Call
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., call: _Optional[_Union[Call, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("protocol", "software", "volume_id", "uids", "free_bytes")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    VOLUME_ID_FIELD_NUMBER: _ClassVar[int]
    UIDS_FIELD_NUMBER: _ClassVar[int]
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    software: str
    volume_id: str
    uids: _containers.RepeatedScalarFieldContainer[str]
    free_bytes: int
    def __init__(self, protocol: _Optional[int] = ..., software: _Optional[str] = ..., volume_id: _Optional[str] = ..., uids: _Optional[_Iterable[str]] = ..., free_bytes: _Optional[int] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("protocol", "software", "epoch", "session")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    software: str
    epoch: int
    session: str
    def __init__(self, protocol: _Optional[int] = ..., software: _Optional[str] = ..., epoch: _Optional[int] = ..., session: _Optional[str] = ...) -> None: ...

class Identity(_message.Message):
    __slots__ = ("namespace", "name", "uid")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    name: str
    uid: str
    def __init__(self, namespace: _Optional[str] = ..., name: _Optional[str] = ..., uid: _Optional[str] = ...) -> None: ...

class Spec(_message.Message):
    __slots__ = ("capacity", "access_modes", "owner", "mode")
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    ACCESS_MODES_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    capacity: str
    access_modes: _containers.RepeatedScalarFieldContainer[str]
    owner: str
    mode: str
    def __init__(self, capacity: _Optional[str] = ..., access_modes: _Optional[_Iterable[str]] = ..., owner: _Optional[str] = ..., mode: _Optional[str] = ...) -> None: ...

class Call(_message.Message):
    __slots__ = ("id", "epoch", "find", "uids", "ensure", "latch", "snapshot", "archive", "condemn", "remove", "retain", "check_never_made", "forget", "measure", "survey")
    ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIND_FIELD_NUMBER: _ClassVar[int]
    UIDS_FIELD_NUMBER: _ClassVar[int]
    ENSURE_FIELD_NUMBER: _ClassVar[int]
    LATCH_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    CONDEMN_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    RETAIN_FIELD_NUMBER: _ClassVar[int]
    CHECK_NEVER_MADE_FIELD_NUMBER: _ClassVar[int]
    FORGET_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    SURVEY_FIELD_NUMBER: _ClassVar[int]
    id: int
    epoch: int
    find: Find
    uids: Uids
    ensure: Ensure
    latch: Latch
    snapshot: Snapshot
    archive: Archive
    condemn: Condemn
    remove: Remove
    retain: Retain
    check_never_made: CheckNeverMade
    forget: Forget
    measure: Measure
    survey: Survey
    def __init__(self, id: _Optional[int] = ..., epoch: _Optional[int] = ..., find: _Optional[_Union[Find, _Mapping]] = ..., uids: _Optional[_Union[Uids, _Mapping]] = ..., ensure: _Optional[_Union[Ensure, _Mapping]] = ..., latch: _Optional[_Union[Latch, _Mapping]] = ..., snapshot: _Optional[_Union[Snapshot, _Mapping]] = ..., archive: _Optional[_Union[Archive, _Mapping]] = ..., condemn: _Optional[_Union[Condemn, _Mapping]] = ..., remove: _Optional[_Union[Remove, _Mapping]] = ..., retain: _Optional[_Union[Retain, _Mapping]] = ..., check_never_made: _Optional[_Union[CheckNeverMade, _Mapping]] = ..., forget: _Optional[_Union[Forget, _Mapping]] = ..., measure: _Optional[_Union[Measure, _Mapping]] = ..., survey: _Optional[_Union[Survey, _Mapping]] = ...) -> None: ...

class Find(_message.Message):
    __slots__ = ("uid",)
    UID_FIELD_NUMBER: _ClassVar[int]
    uid: str
    def __init__(self, uid: _Optional[str] = ...) -> None: ...

class Uids(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Ensure(_message.Message):
    __slots__ = ("identity", "spec")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    identity: Identity
    spec: Spec
    def __init__(self, identity: _Optional[_Union[Identity, _Mapping]] = ..., spec: _Optional[_Union[Spec, _Mapping]] = ...) -> None: ...

class Latch(_message.Message):
    __slots__ = ("identity", "reason", "requested_at")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_AT_FIELD_NUMBER: _ClassVar[int]
    identity: Identity
    reason: str
    requested_at: str
    def __init__(self, identity: _Optional[_Union[Identity, _Mapping]] = ..., reason: _Optional[str] = ..., requested_at: _Optional[str] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("identity",)
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    identity: Identity
    def __init__(self, identity: _Optional[_Union[Identity, _Mapping]] = ...) -> None: ...

class Archive(_message.Message):
    __slots__ = ("identity",)
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    identity: Identity
    def __init__(self, identity: _Optional[_Union[Identity, _Mapping]] = ...) -> None: ...

class Condemn(_message.Message):
    __slots__ = ("identity",)
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    identity: Identity
    def __init__(self, identity: _Optional[_Union[Identity, _Mapping]] = ...) -> None: ...

class Remove(_message.Message):
    __slots__ = ("identity",)
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    identity: Identity
    def __init__(self, identity: _Optional[_Union[Identity, _Mapping]] = ...) -> None: ...

class Retain(_message.Message):
    __slots__ = ("identity",)
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    identity: Identity
    def __init__(self, identity: _Optional[_Union[Identity, _Mapping]] = ...) -> None: ...

class CheckNeverMade(_message.Message):
    __slots__ = ("identity", "claimed")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_FIELD_NUMBER: _ClassVar[int]
    identity: Identity
    claimed: bool
    def __init__(self, identity: _Optional[_Union[Identity, _Mapping]] = ..., claimed: _Optional[bool] = ...) -> None: ...

class Forget(_message.Message):
    __slots__ = ("uid",)
    UID_FIELD_NUMBER: _ClassVar[int]
    uid: str
    def __init__(self, uid: _Optional[str] = ...) -> None: ...

class Measure(_message.Message):
    __slots__ = ("identity",)
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    identity: Identity
    def __init__(self, identity: _Optional[_Union[Identity, _Mapping]] = ...) -> None: ...

class Survey(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Result(_message.Message):
    __slots__ = ("id", "failure", "entry", "uids", "usage", "nothing", "surveyed")
    ID_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    UIDS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    NOTHING_FIELD_NUMBER: _ClassVar[int]
    SURVEYED_FIELD_NUMBER: _ClassVar[int]
    id: int
    failure: Failure
    entry: Entry
    uids: UidList
    usage: Usage
    nothing: Nothing
    surveyed: Surveyed
    def __init__(self, id: _Optional[int] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., entry: _Optional[_Union[Entry, _Mapping]] = ..., uids: _Optional[_Union[UidList, _Mapping]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., nothing: _Optional[_Union[Nothing, _Mapping]] = ..., surveyed: _Optional[_Union[Surveyed, _Mapping]] = ...) -> None: ...

class Entry(_message.Message):
    __slots__ = ("record", "repairs")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    REPAIRS_FIELD_NUMBER: _ClassVar[int]
    record: bytes
    repairs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, record: _Optional[bytes] = ..., repairs: _Optional[_Iterable[str]] = ...) -> None: ...

class UidList(_message.Message):
    __slots__ = ("uids",)
    UIDS_FIELD_NUMBER: _ClassVar[int]
    uids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, uids: _Optional[_Iterable[str]] = ...) -> None: ...

class Surveyed(_message.Message):
    __slots__ = ("uids", "provided")
    UIDS_FIELD_NUMBER: _ClassVar[int]
    PROVIDED_FIELD_NUMBER: _ClassVar[int]
    uids: _containers.RepeatedScalarFieldContainer[str]
    provided: _containers.RepeatedCompositeFieldContainer[Provided]
    def __init__(self, uids: _Optional[_Iterable[str]] = ..., provided: _Optional[_Iterable[_Union[Provided, _Mapping]]] = ...) -> None: ...

class Provided(_message.Message):
    __slots__ = ("uid", "usage")
    UID_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    uid: str
    usage: Usage
    def __init__(self, uid: _Optional[str] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("bytes", "files")
    BYTES_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    files: int
    def __init__(self, bytes: _Optional[int] = ..., files: _Optional[int] = ...) -> None: ...

class Nothing(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "message", "errno", "file")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ERRNO_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    errno: int
    file: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., errno: _Optional[int] = ..., file: _Optional[str] = ...) -> None: ...

class ToVault(_message.Message):
    __slots__ = ("open", "recover", "begin", "content", "verify", "read_manifest", "commit", "fetch", "digest")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    RECOVER_FIELD_NUMBER: _ClassVar[int]
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    VERIFY_FIELD_NUMBER: _ClassVar[int]
    READ_MANIFEST_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    FETCH_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    open: Open
    recover: Recover
    begin: Begin
    content: Content
    verify: Verify
    read_manifest: ReadManifest
    commit: Digests
    fetch: Fetch
    digest: Digest
    def __init__(self, open: _Optional[_Union[Open, _Mapping]] = ..., recover: _Optional[_Union[Recover, _Mapping]] = ..., begin: _Optional[_Union[Begin, _Mapping]] = ..., content: _Optional[_Union[Content, _Mapping]] = ..., verify: _Optional[_Union[Verify, _Mapping]] = ..., read_manifest: _Optional[_Union[ReadManifest, _Mapping]] = ..., commit: _Optional[_Union[Digests, _Mapping]] = ..., fetch: _Optional[_Union[Fetch, _Mapping]] = ..., digest: _Optional[_Union[Digest, _Mapping]] = ...) -> None: ...

class FromVault(_message.Message):
    __slots__ = ("failure", "recovered", "begun", "digests", "content", "end", "receipt")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    RECOVERED_FIELD_NUMBER: _ClassVar[int]
    BEGUN_FIELD_NUMBER: _ClassVar[int]
    DIGESTS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    recovered: Recovered
    begun: Begun
    digests: Digests
    content: Content
    end: End
    receipt: Receipt
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., recovered: _Optional[_Union[Recovered, _Mapping]] = ..., begun: _Optional[_Union[Begun, _Mapping]] = ..., digests: _Optional[_Union[Digests, _Mapping]] = ..., content: _Optional[_Union[Content, _Mapping]] = ..., end: _Optional[_Union[End, _Mapping]] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ...) -> None: ...

class Open(_message.Message):
    __slots__ = ("session", "uid")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    session: str
    uid: str
    def __init__(self, session: _Optional[str] = ..., uid: _Optional[str] = ...) -> None: ...

class Recover(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Recovered(_message.Message):
    __slots__ = ("latest",)
    LATEST_FIELD_NUMBER: _ClassVar[int]
    latest: int
    def __init__(self, latest: _Optional[int] = ...) -> None: ...

class Begin(_message.Message):
    __slots__ = ("room",)
    ROOM_FIELD_NUMBER: _ClassVar[int]
    room: int
    def __init__(self, room: _Optional[int] = ...) -> None: ...

class Begun(_message.Message):
    __slots__ = ("attempt", "cluster", "node")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    cluster: str
    node: str
    def __init__(self, attempt: _Optional[int] = ..., cluster: _Optional[str] = ..., node: _Optional[str] = ...) -> None: ...

class Content(_message.Message):
    __slots__ = ("archive", "manifest")
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    archive: bytes
    manifest: bytes
    def __init__(self, archive: _Optional[bytes] = ..., manifest: _Optional[bytes] = ...) -> None: ...

class Verify(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Digests(_message.Message):
    __slots__ = ("archive", "manifest")
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    archive: str
    manifest: str
    def __init__(self, archive: _Optional[str] = ..., manifest: _Optional[str] = ...) -> None: ...

class ReadManifest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class End(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Receipt(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Fetch(_message.Message):
    __slots__ = ("attempt", "manifest")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    manifest: bool
    def __init__(self, attempt: _Optional[int] = ..., manifest: _Optional[bool] = ...) -> None: ...

class Digest(_message.Message):
    __slots__ = ("attempt",)
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    def __init__(self, attempt: _Optional[int] = ...) -> None: ...
