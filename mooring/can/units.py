"""Pure. The files by which systemd serves the driver and loads its modules; writes none.

The socket is systemd's, and there before Docker is: calls wait in it while the driver starts, is
updated or has been killed. The service is stopped after Docker, which tells it of each container
that it stops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mooring.core.systemd import command_line, environment_lines

SOCKET = "mooring-can.socket"
SERVICE = "mooring-can.service"
MODULES = ("vcan", "vxcan", "can-gw")

_SOCKET = """\
[Unit]
Description=Mooring: where Docker finds its CAN networks
Before=docker.service

[Socket]
ListenStream=/run/docker/plugins/mooring-can.sock
SocketMode=0600
DirectoryMode=0755
Backlog=512
# Without a driver there is no socket file that Docker would wait at.
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""

_SERVICE = """\
[Unit]
Description=Mooring: Docker networks that are CAN buses
Requires=mooring-can.socket
After=mooring-can.socket systemd-modules-load.service
# Stopped after Docker, therefore. Docker's start does not wait for more than this one's fork.
Before=docker.service
StartLimitIntervalSec=0

[Service]
ExecStart={command}
{environment}Restart=always
RestartSec=1
# A wrong command line does not get right by trying again.
RestartPreventExitStatus=2
TimeoutStopSec=20
StateDirectory=mooring/can
StateDirectoryMode=0700
LogRateLimitIntervalSec=30
LogRateLimitBurst=5000

# Links and rules are made with the first; the second is to put an interface back into a container,
# the third to read a program that is in somebody's home.
CapabilityBoundingSet=CAP_NET_ADMIN CAP_SYS_ADMIN CAP_DAC_READ_SEARCH
NoNewPrivileges=yes
RestrictNamespaces=net
RestrictAddressFamilies={families}
ProtectSystem=strict
ProtectHome=read-only
DevicePolicy=closed
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
UMask=0077

[Install]
WantedBy=multi-user.target
"""


def socket_unit() -> str:
    """The socket (systemd.socket(5))."""
    return _SOCKET


def service_unit(
    command: Sequence[str], environment: Mapping[str, str], *, reports: bool = False
) -> str:
    """The service (systemd.service(5), systemd.exec(5)).

    ``command`` begins with an absolute path; ``reports`` says that it reports to a server. Raises
    ValueError for what a unit can't hold.
    """
    families = ["AF_UNIX", "AF_NETLINK", *(["AF_INET", "AF_INET6"] if reports else [])]
    return _SERVICE.format(
        command=command_line(command),
        environment=environment_lines(environment),
        families=" ".join(families),
    )


def modules_file() -> str:
    """What the kernel is to have loaded before Docker starts (modules-load.d(5))."""
    return "".join(f"{name}\n" for name in MODULES)
