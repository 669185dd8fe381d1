"""The library nova-quobyte, as a native module. Every call lets go of the interpreter."""

from pathlib import Path
from typing import Literal, Protocol, TypedDict, final

#: The code of what libvirt does not do.
LIBVIRT_ERROR: str

#: The code of what the host lacks.
HOST_EXHAUSTED: str

def log_debug_lines(wanted: bool) -> None:
    """Report what is for debugging alone from now on, or not."""

def one_line(message: str) -> str:
    """Return a message as it may be logged: on one line, control characters escaped, and not without end."""

class Options(TypedDict):
    """What an operator has configured. Timeouts are in seconds."""

    mount_point_base: str
    client_cfg: str | None
    state_dir: str
    #: The program ``quobyte-share-helper``, with ``quobyte-client-unit`` beside it.
    helper: str
    launcher: str
    mount_timeout: float
    probe_timeout: float
    lock_timeout: float
    cache_mode: str
    io_mode: str
    #: In bytes.
    physical_block_size: int | None
    #: Names of formats, joined by commas.
    volume_formats: str
    #: As libvirt's getVersion() and getLibVersion() have them.
    qemu_version: int
    libvirt_version: int
    #: As libvirt's getDomainCapabilities() has them; needed for io_mode io_uring alone.
    domain_capabilities: str | None

class QuobyteError(Exception):
    """A call failed, and what it had begun is undone. Its text is for operators."""

    #: A word that never changes its meaning.
    code: str
    kind: Literal["invalid", "mount", "time", "image", "in_use", "libvirt", "state", "exhausted", "internal"]
    #: What the code means. It names nothing of the host.
    summary: str

@final
class Connected:
    """A connected volume."""

    mount_path: Path
    device_path: Path
    #: Whether this call mounted the share.
    mounted: bool
    #: Instances and volumes whose files were open on a mount that has died since.
    lost: list[tuple[str, str]]

@final
class Disk:
    """What libvirt is to be told of a volume, beyond what Nova itself knows."""

    path: Path
    format: str
    cache: str
    io: str | None
    discard: str | None
    #: In bytes, shown to the guest.
    physical_block_size: int | None
    #: Path and format of each file below the image.
    backing: list[tuple[Path, str]]

@final
class DisconnectOutcome:
    """What a disconnect did."""

    mount_path: Path
    #: Whether the volume was connected until now.
    changed: bool
    #: Whether the instance still has it, or may have it: it stays on record until the instance has released it.
    leaving: bool
    #: Why the share is still mounted; None when it is not.
    still_mounted: str | None

@final
class Finding:
    """One finding of reconcile."""

    #: The error's code where there is one, else the finding's own, such as ``remounted``.
    code: str
    #: The error or circumstance behind it, for operators.
    detail: str | None
    repaired: bool
    #: Whether the guests of its attachments have lost the files that they had open.
    lost: bool
    mount_path: Path | None
    #: The instances and volumes of the finding.
    attachments: list[tuple[str, str]]

#: What is to be logged: a level of module logging, and a text.
LogRecords = list[tuple[int, str]]

#: A domain as it is listed: its UUID, its name, the number of its run, whether it was saved, and a handle for it.
ListedDomain = tuple[str, str, int | None, bool, object]

#: A domain as it is described: its UUID, its name, the number of its run, and its descriptions, each with its name
#: (``running``, ``persistent`` or ``saved``), and its text or the reason why it cannot be had.
DescribedDomain = tuple[str, str, int | None, list[tuple[str, str | None, str]]]

class Domains(Protocol):
    """The domains of the hypervisor."""

    def host_capabilities(self) -> str:
        """Return libvirt's capabilities."""

    def list_all(self) -> list[ListedDomain]:
        """Return all domains."""

    def describe(self, domain: object, saved: bool) -> DescribedDomain | None:
        """Return a listed domain's descriptions; None for one that is gone."""

    def describe_one(self, uuid: str) -> DescribedDomain | None:
        """Return the descriptions of the domain of that UUID, if there is one."""

    def pool_volume(self, pool: str, volume: str) -> str:
        """Return the path of a storage pool's volume."""

@final
class NativeDriver:
    """Connects and disconnects volumes on this host, from any number of threads.

    Making one and each method append to ``log_records`` what is to be logged, whether they succeed or raise
    QuobyteError. ``connection_info`` is Cinder's, as Nova has it.
    """

    def __new__(cls, log_records: LogRecords, options: Options, domains: Domains) -> NativeDriver: ...
    def connect(self, log_records: LogRecords, connection_info: object, instance: str) -> Connected:
        """Mount the volume's share, check its image, and keep it mounted for the instance."""

    def disk(self, log_records: LogRecords, connection_info: object) -> Disk:
        """Describe a volume whose share is mounted."""

    def disconnect(self, log_records: LogRecords, connection_info: object, instance: str) -> DisconnectOutcome:
        """Disconnect the volume; with nobody left its share is unmounted.

        Of ``connection_info`` only what names the volume is read. What the instance still has stays on record. Nothing
        is taken from anybody.
        """

    def extend(self, log_records: LogRecords, connection_info: object, size: int) -> int:
        """Return the size in bytes to which QEMU is to resize the volume."""

    def reconcile_share(self, log_records: LogRecords, mount_path: Path) -> list[Finding]:
        """Reconcile one share."""

    def note_domain_event(self) -> None:
        """Tell that a domain was started, stopped, defined or undefined; it does not wait."""

    def wait_for_domain_event(self, log_records: LogRecords, seen: int, seconds: float) -> int:
        """Wait for a domain event after the one of number ``seen``, and return the latest one's number."""

    def reconcile(self, log_records: LogRecords) -> list[Finding]:
        """Hold records, mounts and domains against each other, and repair what is certainly ours."""
