"""An SMTP server on loopback for the tests: aiosmtpd, with a login, with STARTTLS (required), implicit TLS or none.

usage: smtpd.py none|starttls|tls PORT CERT KEY

PORT 0 is a free one. It prints {"port": N} when it listens, and then one JSON line for each message that it accepts. A
receiver's name decides what it answers: busy@... 451, unknown@... 550.
"""
import base64
import json
import ssl
import sys
import time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

mode, port, cert, key = sys.argv[1:5]


def say(what):
    print(json.dumps(what), flush=True)


def login(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and data.login == b"ops" and data.password == b"mail-canary-7d1f"
    return AuthResult(success=good, handled=False)  # the server answers


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("busy@"):
            return "451 4.2.1 come back later"
        if address.startswith("unknown@"):
            return "550 5.1.1 no such user here: " + address
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        say({
            "from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": session.ssl is not None or mode == "tls",
            "login": session.authenticated, "data": base64.b64encode(envelope.original_content).decode(),
        })
        return "250 OK"


options = {}
if mode != "none":
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    options["authenticator"] = login
    if mode == "starttls":
        options.update(tls_context=context, require_starttls=True, auth_required=True)
    else:
        # The server does not see that the whole connection is encrypted.
        options.update(ssl_context=context, auth_required=True, auth_require_tls=False)

controller = Controller(Handler(), hostname="127.0.0.1", port=int(port) or 0, **options)
if int(port) == 0:
    import socket
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        controller.port = free.getsockname()[1]
controller.start()
say({"port": controller.port})
while True:
    time.sleep(3600)
