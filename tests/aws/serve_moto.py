"""Serves moto on a free port of loopback until standard input ends, which it does with the test that started this.

The first line that it prints is JSON: the port, and the file with botocore's description of each service, by which the
tests judge requests.
"""

import gzip
import json
import logging
import pathlib
import sys
import tempfile

import botocore
from moto.server import ThreadedMotoServer

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


logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
_, port = server.get_host_and_port()
with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as models:
    json.dump({name: described(name, version) for name, version in SERVICES.items()}, models)
print(json.dumps({"port": port, "models": models.name}), flush=True)
sys.stdin.read()
pathlib.Path(models.name).unlink(missing_ok=True)
