"""Starts a gateway with a fresh certificate and examines its browsers' port.

Usage: tls-check.py GATEWAY. Exit code 0 only when everything is as it should be.
"""

import contextlib
import datetime
import ipaddress
import json
import pathlib
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sslyze import Scanner, ServerNetworkLocation, ServerScanRequest
from sslyze.mozilla_tls_profile.tls_config_checker import (
    MozillaTlsConfiguration,
    ServerNotCompliantWithTlsConfiguration,
    TlsConfigurationEnum,
    check_server_against_tls_configuration,
)
from sslyze.scanner.models import ServerScanStatusEnum

PATIENCE = 15
# What a certificate that nobody has signed can't have.
SELF_SIGNED = {"certificate_path_validation"}
OLD = ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"]
WEAK = ["NULL", "EXPORT", "RC4", "DES", "MD5", "anon", "CBC", "RSA_WITH"]

failures = []


def check(what, ok, more=""):
    print("%s  %s%s" % ("ok    " if ok else "FAILED", what, ": %s" % more if more else ""))
    if not ok:
        failures.append(what)


def write_certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=80))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@contextlib.contextmanager
def gateway(binary):
    """A running gateway; gives the address of its browsers' port."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_certificate(folder)
        config = {
            "asterisk_addr": "127.0.0.1:0",
            "browser_addr": "127.0.0.1:0",
            "admin_addr": "",
            "cert_file": str(folder / "cert.pem"),
            "key_file": str(folder / "key.pem"),
            "jwt_secret": "a secret of a test that lives for a minute",
            "allowed_origins": ["https://localhost"],
            "handshake_timeout": 5,
            "log_format": "json",
        }
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "groups.json").write_text("{}")
        command = [binary, "-c", str(folder / "config.json"), "-g", str(folder / "groups.json")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            seen = []
            address = None
            for line in process.stdout:
                seen.append(line)
                if "listening for browsers" in line:
                    fields = json.loads(line)
                    address = fields.get("address") or fields["fields"]["address"]
                    break
            if address is None:
                sys.exit("the gateway did not start:\n" + "".join(seen))
            # Its log must be read, or it would wait for us.
            threading.Thread(target=lambda: list(process.stdout), daemon=True).start()
            host, port = address.rsplit(":", 1)
            yield host, int(port)
            check("the gateway still runs", process.poll() is None)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def client_hello(version):
    """A hello of an old client, with ciphers that every server once knew."""
    ciphers = struct.pack(">6H", 0x002F, 0x0035, 0x000A, 0xC013, 0xC014, 0x0005)
    body = struct.pack(">H", version) + b"\x07" * 32 + b"\x00"
    body += struct.pack(">H", len(ciphers)) + ciphers + b"\x01\x00"
    hello = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return b"\x16" + struct.pack(">HH", version, len(hello)) + hello


def answer(address, request):
    """What comes back until the other side is done."""
    with socket.create_connection(address, PATIENCE) as connection:
        connection.sendall(request)
        data = b""
        try:
            while len(data) < 65536:
                more = connection.recv(4096)
                if not more:
                    break
                data += more
        except ConnectionResetError:
            pass
        return data


def old_clients(address):
    for name, version in [("SSL 3.0", 0x0300), ("TLS 1.0", 0x0301), ("TLS 1.1", 0x0302)]:
        data = answer(address, client_hello(version))
        # An alert (0x15) or nothing; a ServerHello would be a handshake record (0x16).
        check("a hello of %s is refused" % name, not data or data[0] == 0x15, data[:7].hex())
    sslv2 = b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\x01\x00\x80\x07\x00\xc0\x03\x00\x80" * 4
    data = answer(address, sslv2)
    check("a hello of SSL 2.0 is refused", not data or data[0] == 0x15, data[:7].hex())
    data = answer(address, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    check("plain HTTP is not answered", not data.startswith(b"HTTP"), data[:7].hex())


def served(address):
    """What is served behind TLS, and to whom."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(address, PATIENCE) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as connection:
            check("HTTP/1.1 is spoken, HTTP/2 is not", connection.selected_alpn_protocol() == "http/1.1")
            check("a new client gets TLS 1.3", connection.version() == "TLSv1.3", connection.version())
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            check("the page is served", connection.recv(12).startswith(b"HTTP/1.1 200"))


def scan(address):
    scanner = Scanner(per_server_concurrent_connections_limit=2)
    scanner.queue_scans([ServerScanRequest(ServerNetworkLocation("localhost", address[1], address[0]))])
    (result,) = scanner.get_results()
    if result.scan_status != ServerScanStatusEnum.COMPLETED:
        sys.exit("sslyze could not connect: %s" % result.connectivity_error_trace)
    found = result.scan_result

    def result_of(name):
        attempt = getattr(found, name)
        if attempt.result is None:
            check(name, False, attempt.error_reason)
        return attempt.result

    for name in OLD:
        suites = result_of(name + "_cipher_suites").accepted_cipher_suites
        check("no %s" % name, not suites)
    for name in ["tls_1_2", "tls_1_3"]:
        suites = [s.cipher_suite.name for s in result_of(name + "_cipher_suites").accepted_cipher_suites]
        weak = [suite for suite in suites if any(word in suite for word in WEAK)]
        check("%s with strong ciphers only" % name, suites and not weak, ", ".join(weak or suites))
    check("no compression (CRIME)", not result_of("tls_compression").supports_compression)
    check("no heartbleed", not result_of("heartbleed").is_vulnerable_to_heartbleed)
    check("no CCS injection", not result_of("openssl_ccs_injection").is_vulnerable_to_ccs_injection)
    robot = result_of("robot").robot_result.name
    check("no ROBOT", robot.startswith("NOT_VULNERABLE"), robot)
    renegotiation = result_of("session_renegotiation")
    check("no renegotiation by clients", not renegotiation.is_vulnerable_to_client_renegotiation_dos)
    early = result_of("tls_1_3_early_data")
    check("no early data, which could be replayed", not early.supports_early_data)
    ems = result_of("tls_extended_master_secret")
    check("extended master secret", ems.supports_ems_extension)

    profile = MozillaTlsConfiguration.get(TlsConfigurationEnum.MOZILLA_INTERMEDIATE)
    issues = {}
    try:
        check_server_against_tls_configuration(result, profile)
    except ServerNotCompliantWithTlsConfiguration as error:
        issues = error.issues
    for name in sorted(SELF_SIGNED & set(issues)):
        print("(not asked of a test's certificate: %s)" % name)
    issues = {name: text for name, text in issues.items() if name not in SELF_SIGNED}
    check("Mozilla's intermediate profile", not issues, "; ".join("%s: %s" % i for i in issues.items()))


with gateway(sys.argv[1]) as where:
    served(where)
    old_clients(where)
    scan(where)
print("TLS: %s" % ("%d FAILED" % len(failures) if failures else "everything as it should be"))
sys.exit(1 if failures else 0)
