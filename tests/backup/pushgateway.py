"""Stands in for a Pushgateway: keeps what was posted, by path, in files of a folder. Prints its port."""

import http.server
import os
import sys

folder = sys.argv[1]


class Gateway(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(os.path.join(folder, self.path.strip("/").replace("/", "_")), "wb") as file:
            file.write(body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Gateway)
print(server.server_address[1], flush=True)
server.serve_forever()
