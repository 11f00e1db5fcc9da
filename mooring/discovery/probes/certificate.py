"""Pure. A certificate's bytes in, its names as sights out; an unreadable one gives none."""

from __future__ import annotations

import warnings

from mooring.discovery.seen import Sight
from mooring.model.service import Means

MAX_SIZE = 64 * 1024
_NAMES = 20


def certificate_sights(der: bytes) -> tuple[Sight, ...]:
    """``subject: CN=…,O=…``, ``issuer: …``, and ``name: …`` for each name and address."""
    # Slow to import, and only needed when there is a certificate.
    from cryptography import x509

    if not der or len(der) > MAX_SIZE:
        return ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            certificate = x509.load_der_x509_certificate(der)
            texts = [
                f"subject: {certificate.subject.rfc4514_string()}",
                f"issuer: {certificate.issuer.rfc4514_string()}",
            ]
            texts += [f"name: {name}" for name in _alternatives(certificate)]
    except (ValueError, TypeError, x509.InvalidVersion):
        return ()
    return tuple(Sight(Means.TLS, text) for text in texts)


def _alternatives(certificate: object) -> list[str]:
    from cryptography import x509

    assert isinstance(certificate, x509.Certificate)
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return []
    names = found.get_values_for_type(x509.DNSName)
    addresses = found.get_values_for_type(x509.IPAddress)
    return [*names, *(str(address) for address in addresses)][:_NAMES]
