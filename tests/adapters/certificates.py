"""Certificates that are made for one test run."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

LIFETIME = timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; whoever holds `root` trusts them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(f"authority {folder.name}")
        basic = x509.BasicConstraints(ca=True, path_length=0)
        signed = self._builder(self._name, self._key.public_key()).add_extension(basic, True)
        self.root = _written(
            folder / "root.pem", signed.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        )

    def server(self, address: str = "127.0.0.1") -> Certificate:
        """For a server at this address."""
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
        return self._issue(f"server-{address}", names)

    def client(self, name: str) -> Certificate:
        """For a client whose certificate is its credential."""
        return self._issue(name, x509.SubjectAlternativeName([x509.DNSName(name)]))

    def _issue(self, name: str, names: x509.SubjectAlternativeName) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_name(name), key.public_key()).add_extension(names, False)
        signed = builder.sign(self._key, hashes.SHA256())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Certificate(
            _written(self._folder / f"{name}.pem", signed.public_bytes(Encoding.PEM)),
            _written(self._folder / f"{name}.key", pem),
        )

    def _builder(
        self, subject: x509.Name, public: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=public,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(minutes=5),
            not_valid_after=now + LIFETIME,
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _written(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path
