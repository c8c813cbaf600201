"""Reads frames of HTTP drains with PyPI's syslog-rfc5424-parser; prints its port, then a line of JSON
a message, "error" where the parser refuses it."""

import http.server
import json

from syslog_rfc5424_parser import ParseError, SyslogMessage


def frames(body):
    while body:
        count, rest = body.split(b" ", 1)
        yield rest[: int(count)]
        body = rest[int(count) :]


def read(frame):
    try:
        message = SyslogMessage.parse(frame.decode().removesuffix("\n"))
    except UnicodeDecodeError:
        return {"error": "utf-8"}
    except ParseError:
        return {"error": "grammar"}
    text = message.msg or ""
    return {"procid": message.procid or "-", "sd": list(message.sd), "text": text}


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for frame in frames(body):
            print(json.dumps({"path": self.path, **read(frame)}), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
