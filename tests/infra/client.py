"""A client of a Service of the test bed: asks a ready pod, again and again, and counts what fails.

    client.py < events     # kubectl get endpointslices --watch --output-watch-events -o json

It follows the EndpointSlices as kube-proxy does. Ends on SIGTERM, and prints `requests failures`.
"""

import http.client
import json
import random
import signal
import sys
import threading
import time

slices = {}
lock = threading.Lock()
done = threading.Event()
counts = {"requests": 0, "failures": 0}


def follow():
    decoder, text = json.JSONDecoder(), ""
    while chunk := sys.stdin.readline():
        text = (text + chunk).lstrip()
        try:
            event, end = decoder.raw_decode(text)
        except ValueError:
            continue
        text = text[end:]
        item = event["object"]
        with lock:
            if event["type"] == "DELETED":
                slices.pop(item["metadata"]["name"], None)
            else:
                slices[item["metadata"]["name"]] = [
                    (address, port["port"])
                    for endpoint in item.get("endpoints") or []
                    if endpoint["conditions"].get("ready")
                    for address in endpoint["addresses"]
                    for port in item["ports"]
                ]


def ask():
    while not done.is_set():
        with lock:
            ready = [pod for pods in slices.values() for pod in pods]
        if not ready:
            # Before the first event there is nobody to ask; later that is a failure like any other.
            if counts["requests"]:
                counts["requests"] += 1
                counts["failures"] += 1
            time.sleep(0.05)
            continue
        address, port = random.choice(ready)
        counts["requests"] += 1
        try:
            # Pods of the test bed listen on 127.x.y.z, and say 10.x.y.z.
            connection = http.client.HTTPConnection("127" + address[2:], port, timeout=5)
            connection.request("GET", "/")
            if connection.getresponse().status != 200:
                counts["failures"] += 1
        except OSError:
            counts["failures"] += 1
        finally:
            connection.close()
        time.sleep(0.01)


signal.signal(signal.SIGTERM, lambda *_: done.set())
threading.Thread(target=follow, daemon=True).start()
ask()
print(counts["requests"], counts["failures"], flush=True)
