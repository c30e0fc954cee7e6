"""Serves moto on free ports of loopback, with and without TLS, until standard input ends, which it does with the test that
started this.

The first line that it prints is JSON: the ports, and the folder with the certificate and with botocore's description of
each service, by which the tests judge requests.
"""

import datetime
import gzip
import importlib
import ipaddress
import json
import logging
import pathlib
import ssl
import sys
import tempfile
import threading

import botocore
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

SERVICES = {
    "secretsmanager": "2017-10-17",
    "ssm": "2014-11-06",
    "sqs": "2012-11-05",
    "sts": "2011-06-15",
}


def described(service, version):
    folder = pathlib.Path(botocore.__file__).parent / "data" / service / version
    with gzip.open(folder / "service-2.json.gz") as file:
        model = json.load(file)
    examples = folder / "examples-1.json"
    model["examples"] = json.loads(examples.read_text())["examples"] if examples.exists() else {}
    return model


def certify(folder):
    """Writes a key, and a certificate for this machine that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "moto")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1))
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = builder.add_extension(here, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


def serve(context):
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=context)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


# They are otherwise loaded by the first request, which then takes seconds.
for service in SERVICES:
    importlib.import_module(f"moto.{service}.responses")
# The shared places of regions: their requests are not judged, their answers are.
for service in ("dynamodb", "s3"):
    importlib.import_module(f"moto.{service}.responses")
logging.getLogger("werkzeug").setLevel(logging.ERROR)
with tempfile.TemporaryDirectory(prefix="fairlead-moto-") as name:
    folder = pathlib.Path(name)
    models = {service: described(service, version) for service, version in SERVICES.items()}
    (folder / "models.json").write_text(json.dumps(models))
    print(json.dumps({"port": serve(None), "tls_port": serve(certify(folder)), "folder": name}), flush=True)
    sys.stdin.read()
