"""The connection to PostgreSQL is as secret as the address asks for: each `sslmode` means what it means to libpq."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support import postgres


class Authority:
    """Signs certificates."""

    def __init__(self, folder, name):
        self.key, self.name = ec.generate_private_key(ec.SECP256R1()), name
        self.certificate = self._sign(name, self.key, x509.BasicConstraints(ca=True, path_length=0), [])
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, name, key, constraints, names):
        called = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)]) for one in (name, self.name)]
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder().subject_name(called[0]).issuer_name(called[1]).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1)).add_extension(constraints, critical=True)
        )  # fmt: skip
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def server(self, names):
        """A key and its certificate, as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign("db", key, x509.BasicConstraints(ca=False, path_length=None), names)
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return key.private_bytes(pem, pkcs8, serialization.NoEncryption()), certificate.public_bytes(pem)


def refused(new_node, url, why):
    node = new_node(url)
    with pytest.raises(RuntimeError) as failure:
        node.start()
    said = str(failure.value).lower()
    assert why in said and "panicked" not in said, said


def test_what_sslmode_asks_for_is_what_happens(new_node, stoppable, tmp_path):
    database = postgres.Database(stoppable.url)
    ours, strangers = Authority(tmp_path, "ours"), Authority(tmp_path, "strangers")

    def url(query, host="localhost"):
        return f"{database.url(address=(host, stoppable.port))}?{query}"

    # A server that speaks no TLS.
    for query in ("sslmode=require", f"sslmode=verify-full&sslrootcert={ours.path}"):
        refused(new_node, url(query), "server does not support tls")
    new_node(url("sslmode=prefer")).start().stop()

    key, certificate = ours.server([x509.DNSName("localhost")])
    for name, content in (("server.key", key), ("server.crt", certificate)):
        stoppable.write(name, content)
    for setting in ("ssl_key_file = 'server.key'", "ssl_cert_file = 'server.crt'", "ssl = on"):
        database.run(f"ALTER SYSTEM SET {setting}")
    database.run("SELECT pg_reload_conf()")

    right = f"sslrootcert={ours.path}"
    for query in ("sslmode=require", f"sslmode=verify-full&{right}", f"{right}&sslmode=verify-ca"):
        node = new_node(url(query)).start()
        sessions = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
        assert database.run(f"{sessions} WHERE application_name = 'schoolbell'") == [["t"]], query
        node.stop()
    # Below verify-full the name does not matter; the authority does.
    new_node(url(f"sslmode=verify-ca&{right}", "127.0.0.1")).start().stop()
    refused(new_node, url(f"sslmode=verify-full&{right}", "127.0.0.1"), "not valid for name")
    wrong = f"sslrootcert={strangers.path}"
    for query in (f"sslmode=verify-full&{wrong}", f"sslmode=verify-ca&{wrong}", f"sslmode=require&{wrong}"):
        refused(new_node, url(query), "certificate")
    # The system knows no such authority.
    refused(new_node, url("sslmode=verify-full"), "certificate")
    refused(new_node, url(f"sslmode=verify-full&sslrootcert={tmp_path}/nowhere.pem"), "nowhere.pem")
