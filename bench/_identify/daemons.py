"""Real daemons for the bench: a port and a folder in, how to start it out. All from Debian.

Each says what it is by the catalogue's names, and by which words nmap would name it.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.parts import PARTS, Missing

Command = list[str]


@dataclass(frozen=True)
class Daemon:
    service: str
    """Its name in the catalogue: finding it is what recall counts."""
    port: int
    """The usual one."""
    nmap: str
    """A regular expression for what nmap calls it."""
    start: Callable[[int, Path], Command]
    also: tuple[str, ...] = ()
    """Other services that are rightly named on the port."""
    variant: str = ""

    @property
    def label(self) -> str:
        return f"{self.service} {self.variant}".strip()


def part(name: str) -> str:
    try:
        return PARTS[name]()
    except Missing as missing:
        raise SystemExit(f"bench/identify: {missing} (make parts)") from None


def certificate(folder: Path) -> tuple[Path, Path]:
    """A key and a certificate of its own, made once in the folder."""
    key, cert = folder / "tls.key", folder / "tls.crt"
    if not cert.exists():
        made = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=lab.example -keyout {key} -out"
        subprocess.run(["openssl", *made.split(), cert], check=True, capture_output=True)
        key.chmod(0o644)
    return key, cert


def sshd(port: int, d: Path) -> Command:
    key = d / "host"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    return [part("sshd"), "-D", "-f", "/dev/null", "-p", str(port), "-h", str(key),
            "-o", "MaxStartups=1000"]  # fmt: skip


def dropbear(port: int, d: Path) -> Command:
    key = d / "dropbear"
    subprocess.run(["dropbearkey", "-t", "ecdsa", "-f", key], check=True, capture_output=True)
    return [part("dropbear"), "-F", "-E", "-r", str(key), "-p", str(port), "-P", str(d / "pid")]


def nginx(port: int, d: Path, tls: bool = False) -> Command:
    temps = " ".join(
        f"{kind}_temp_path {d}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    listen = f"listen {port};"
    if tls:
        key, cert = certificate(d)
        listen = f"listen {port} ssl; ssl_certificate {cert}; ssl_certificate_key {key};"
    conf = d / "nginx.conf"
    conf.write_text(
        f"daemon off; pid {d}/pid; error_log {d}/log; user root; worker_processes 1; events {{}}\n"
        f"http {{ access_log off; {temps} server {{ {listen} root {d}; }} }}\n"
    )
    (d / "index.html").write_text("<title>Welcome home</title><p>Pictures of my cat")
    return [part("nginx"), "-c", str(conf)]


def nginx_tls(port: int, d: Path) -> Command:
    return nginx(port, d, tls=True)


def apache(port: int, d: Path) -> Command:
    modules = "/usr/lib/apache2/modules"
    conf = d / "apache.conf"
    conf.write_text(
        f"ServerRoot {d}\nServerName lab\nListen {port}\nPidFile {d}/pid\nErrorLog {d}/log\n"
        f"LoadModule mpm_event_module {modules}/mod_mpm_event.so\n"
        f"LoadModule authz_core_module {modules}/mod_authz_core.so\n"
        f"DocumentRoot {d}\nUser www-data\nGroup www-data\n"
    )
    return [part("apache2"), "-DFOREGROUND", "-f", str(conf)]


def lighttpd(port: int, d: Path) -> Command:
    conf = d / "lighttpd.conf"
    conf.write_text(f'server.document-root = "{d}"\nserver.port = {port}\n')
    return [part("lighttpd"), "-D", "-f", str(conf)]


def caddy(port: int, d: Path) -> Command:
    conf = d / "Caddyfile"
    conf.write_text(
        f'{{\n admin off\n auto_https off\n}}\nhttp://:{port} {{\n respond "hello"\n}}\n'
    )
    return [part("caddy"), "run", "--adapter", "caddyfile", "--config", str(conf)]


def haproxy(port: int, d: Path) -> Command:
    conf = d / "haproxy.cfg"
    conf.write_text(
        "defaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n"
        f"frontend stats\n bind *:{port}\n stats enable\n stats uri /\n"
    )
    return [part("haproxy"), "-f", str(conf)]


def squid(port: int, d: Path) -> Command:
    conf = d / "squid.conf"
    conf.write_text(
        f"http_port {port}\npid_filename none\ncache_log {d}/cache.log\naccess_log none\n"
        f"cache_store_log none\ncoredump_dir {d}\nnetdb_filename none\n"
    )
    return [part("squid"), "-N", "-f", str(conf)]


def redis(port: int, d: Path, *more: str) -> Command:
    return [
        part("redis-server"), "--port", str(port), "--dir", str(d), "--save", "",
        "--protected-mode", "no", *more,
    ]  # fmt: skip


def redis_locked(port: int, d: Path) -> Command:
    return redis(port, d, "--requirepass", "secret")


def memcached(port: int, d: Path) -> Command:
    return [part("memcached"), "-u", "nobody", "-p", str(port), "-l", "0.0.0.0"]


def postgres(port: int, d: Path) -> Command:
    who = pwd.getpwnam("postgres")
    data = d / "db"
    data.mkdir()
    for folder in (d, data):
        os.chown(folder, who.pw_uid, who.pw_gid)
    as_them = ["setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups"]
    programs = Path(part("postgres")).parent
    subprocess.run(
        [*as_them, programs / "initdb", "-D", data, "--no-sync"],
        check=True,
        capture_output=True,
        cwd=d,
    )
    options = ["-c", "listen_addresses=*", "-c", "fsync=off", "-c", "shared_buffers=16MB"]
    return [*as_them, str(programs / "postgres"), "-D", str(data), "-k", str(d), "-p", str(port),
            *options]  # fmt: skip


def mosquitto(port: int, d: Path, more: str = "") -> Command:
    conf = d / "mosquitto.conf"
    conf.write_text(f"listener {port}\n{more}allow_anonymous true\n")
    return [part("mosquitto"), "-c", str(conf)]


def mosquitto_tls(port: int, d: Path) -> Command:
    key, cert = certificate(d)
    return mosquitto(port, d, f"certfile {cert}\nkeyfile {key}\n")


def dnsmasq(port: int, d: Path) -> Command:
    return [
        part("dnsmasq"), "-k", "--conf-file=/dev/null", "--no-resolv", "--user=root",
        f"--port={port}", f"--pid-file={d}/pid",
    ]  # fmt: skip


def unbound(port: int, d: Path) -> Command:
    conf = d / "unbound.conf"
    conf.write_text(
        f'server:\n interface: 0.0.0.0\n port: {port}\n username: ""\n chroot: ""\n'
        f' directory: "{d}"\n pidfile: "{d}/pid"\n access-control: 0.0.0.0/0 allow\n'
        " use-syslog: no\n do-daemonize: no\nremote-control:\n control-enable: no\n"
    )
    return [part("unbound"), "-d", "-c", str(conf)]


def prometheus(port: int, d: Path) -> Command:
    conf = d / "prometheus.yml"
    conf.write_text("global: {}\n")
    program = Path(part("promtool")).with_name("prometheus")
    return [str(program), f"--config.file={conf}", f"--storage.tsdb.path={d}/data",
            f"--web.listen-address=0.0.0.0:{port}"]  # fmt: skip


def node_exporter(port: int, d: Path) -> Command:
    return [part("prometheus-node-exporter"), f"--web.listen-address=0.0.0.0:{port}"]


def vsftpd(port: int, d: Path) -> Command:
    conf = d / "vsftpd.conf"
    empty = d / "empty"
    empty.mkdir()
    conf.write_text(
        f"listen=YES\nlisten_port={port}\nanonymous_enable=YES\nbackground=NO\n"
        f"secure_chroot_dir={empty}\nseccomp_sandbox=NO\n"
    )
    return [part("vsftpd"), str(conf)]


def dovecot(port: int, d: Path) -> Command:
    conf = d / "dovecot.conf"
    conf.write_text(
        f"protocols = imap\nbase_dir = {d}/run\nlog_path = {d}/log\nssl = no\nlisten = 0.0.0.0\n"
        f"service imap-login {{\n inet_listener imap {{\n  port = {port}\n }}\n"
        " inet_listener imaps {\n  port = 0\n }\n}\npassdb {\n driver = static\n}\n"
    )
    return [part("dovecot"), "-F", "-c", str(conf)]


def rsync(port: int, d: Path) -> Command:
    conf = d / "rsyncd.conf"
    conf.write_text(f"[share]\n path = {d}\n")
    return [part("rsync"), "--daemon", "--no-detach", f"--port={port}", f"--config={conf}"]


def python_http(port: int, d: Path) -> Command:
    return [sys.executable, "-m", "http.server", str(port), "--directory", str(d)]


def snmpd(port: int, d: Path) -> Command:
    conf = d / "snmpd.conf"
    conf.write_text(f"agentaddress udp:{port}\nrocommunity public\n")
    return ["env", f"SNMP_PERSISTENT_DIR={d}", part("snmpd"), "-f", "-Lo", "-C", "-c", str(conf),
            "-p", str(d / "pid"), "-x", str(d / "agentx")]  # fmt: skip


def snmpd_v3(port: int, d: Path) -> Command:
    """Nobody may read but who has a password."""
    command = snmpd(port, d)
    (d / "snmpd.conf").write_text(
        f"agentaddress udp:{port}\ncreateUser me SHA longenough AES longenough\nrouser me\n"
    )
    return command


def tftpd(port: int, d: Path) -> Command:
    return [part("tftpd"), "-L", "-a", f":{port}", "-u", "root", "-s", str(d)]


def rpcbind(_: int, d: Path) -> Command:
    """Its port can't be chosen. It holds a lock and a socket in /run: here in one of its own."""
    own = f"mount -t tmpfs run /run && mkdir /run/rpcbind && exec {part('rpcbind')} -f"
    return ["unshare", "--mount", "sh", "-c", own]


def memcached_udp(port: int, d: Path) -> Command:
    return [part("memcached"), "-u", "nobody", "-p", str(port), "-U", str(port)]


def coap(port: int, d: Path) -> Command:
    return [part("coap-server"), "-A", "127.0.0.1", "-p", str(port)]


UDP_DAEMONS = (
    Daemon("dnsmasq", 53, "dnsmasq", dnsmasq),
    Daemon("net-snmp", 161, "net-snmp", snmpd),
    Daemon("net-snmp", 161, "net-snmp", snmpd_v3, variant="version 3 alone"),
    Daemon("tftp", 69, "tftp", tftpd),
    Daemon("rpcbind", 111, "rpcbind", rpcbind),
    Daemon("memcached", 11211, "memcached", memcached_udp),
    Daemon("coap", 5683, "coap", coap),
)
"""Those that are asked over UDP, each on its usual port: nobody looks for them elsewhere."""

DAEMONS = (
    Daemon("openssh", 22, "OpenSSH", sshd),
    Daemon("dropbear", 2222, "Dropbear", dropbear),
    Daemon("nginx", 80, "nginx", nginx),
    Daemon("nginx", 443, "nginx", nginx_tls, variant="TLS"),
    Daemon("apache", 8081, "Apache", apache),
    Daemon("lighttpd", 8082, "lighttpd", lighttpd),
    Daemon("caddy", 8083, "Caddy", caddy),
    Daemon("haproxy", 8404, "HAProxy", haproxy),
    Daemon("squid", 3128, "Squid", squid),
    Daemon("redis", 6379, "Redis", redis),
    Daemon("redis", 6380, "Redis", redis_locked, variant="with a password"),
    Daemon("memcached", 11211, "Memcached", memcached),
    Daemon("postgresql", 5432, "PostgreSQL", postgres),
    Daemon("mosquitto", 1883, "mosquitto", mosquitto),
    Daemon("mosquitto", 8883, "mosquitto", mosquitto_tls, variant="TLS"),
    Daemon("dnsmasq", 53, "dnsmasq", dnsmasq),
    Daemon("unbound", 5353, "Unbound", unbound),
    Daemon("prometheus", 9090, "Prometheus", prometheus),
    Daemon("node-exporter", 9200, "Prometheus|node.exporter", node_exporter),
    Daemon("vsftpd", 21, "vsftpd", vsftpd),
    Daemon("dovecot", 143, "Dovecot", dovecot),
    Daemon("rsync", 873, "rsync", rsync),
    Daemon("python-http-server", 8000, "SimpleHTTP|BaseHTTP", python_http),
)
