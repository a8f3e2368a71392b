from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentEnvelope(_message.Message):
    __slots__ = ("hello", "report", "facts")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    hello: bytes
    report: bytes
    facts: Facts
    def __init__(self, hello: _Optional[bytes] = ..., report: _Optional[bytes] = ..., facts: _Optional[_Union[Facts, _Mapping]] = ...) -> None: ...

class ServerEnvelope(_message.Message):
    __slots__ = ("welcome", "assign", "ack", "open_console", "take_screenshot", "send_disk")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ASSIGN_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    OPEN_CONSOLE_FIELD_NUMBER: _ClassVar[int]
    TAKE_SCREENSHOT_FIELD_NUMBER: _ClassVar[int]
    SEND_DISK_FIELD_NUMBER: _ClassVar[int]
    welcome: bytes
    assign: bytes
    ack: bytes
    open_console: bytes
    take_screenshot: bytes
    send_disk: bytes
    def __init__(self, welcome: _Optional[bytes] = ..., assign: _Optional[bytes] = ..., ack: _Optional[bytes] = ..., open_console: _Optional[bytes] = ..., take_screenshot: _Optional[bytes] = ..., send_disk: _Optional[bytes] = ...) -> None: ...

class Facts(_message.Message):
    __slots__ = ("at", "node", "vm_ids", "vms")
    AT_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    VM_IDS_FIELD_NUMBER: _ClassVar[int]
    VMS_FIELD_NUMBER: _ClassVar[int]
    at: float
    node: _containers.RepeatedScalarFieldContainer[float]
    vm_ids: _containers.RepeatedScalarFieldContainer[str]
    vms: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, at: _Optional[float] = ..., node: _Optional[_Iterable[float]] = ..., vm_ids: _Optional[_Iterable[str]] = ..., vms: _Optional[_Iterable[float]] = ...) -> None: ...

class Bytes(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class ImageRequest(_message.Message):
    __slots__ = ("image",)
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    image: str
    def __init__(self, image: _Optional[str] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("csr",)
    CSR_FIELD_NUMBER: _ClassVar[int]
    csr: bytes
    def __init__(self, csr: _Optional[bytes] = ...) -> None: ...

class Certificate(_message.Message):
    __slots__ = ("certificate", "ca", "servers")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    CA_FIELD_NUMBER: _ClassVar[int]
    SERVERS_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    ca: bytes
    servers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, certificate: _Optional[bytes] = ..., ca: _Optional[bytes] = ..., servers: _Optional[_Iterable[str]] = ...) -> None: ...

class JoinRequest(_message.Message):
    __slots__ = ("secret", "csr", "name")
    SECRET_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    secret: str
    csr: bytes
    name: str
    def __init__(self, secret: _Optional[str] = ..., csr: _Optional[bytes] = ..., name: _Optional[str] = ...) -> None: ...

class JoinAnswer(_message.Message):
    __slots__ = ("node", "certificate", "link_port", "servers")
    NODE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    LINK_PORT_FIELD_NUMBER: _ClassVar[int]
    SERVERS_FIELD_NUMBER: _ClassVar[int]
    node: str
    certificate: bytes
    link_port: int
    servers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, node: _Optional[str] = ..., certificate: _Optional[bytes] = ..., link_port: _Optional[int] = ..., servers: _Optional[_Iterable[str]] = ...) -> None: ...
