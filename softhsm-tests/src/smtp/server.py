"""A mail server (Debian's aiosmtpd) that demands TLS and a login, and keeps what it takes.

server.py DIRECTORY PORT implicit|starttls CERTIFICATE KEY USER PASSWORD

DIRECTORY/inbox/NUMBER.json  each mail that was taken, as the standard library's parser reads it
DIRECTORY/answers.json       answers instead of the usual ones: {"rcpt": {ADDRESS: ANSWER}, "data": ANSWER, "mail": ANSWER}
DIRECTORY/hold               while it exists, mails are taken and kept, but not answered
"""

import asyncio
import email
import email.policy
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

directory, port, mode, certificate, key, user, password = sys.argv[1:]
inbox = os.path.join(directory, "inbox")
os.makedirs(inbox, exist_ok=True)


def told(command, address=None):
    try:
        with open(os.path.join(directory, "answers.json"), encoding="utf-8") as file:
            answer = json.load(file).get(command)
    except FileNotFoundError:
        return None
    return answer.get(address) if isinstance(answer, dict) else answer


def admit(server, session, envelope, mechanism, data):
    right = isinstance(data, LoginPassword) and data.login == user.encode() and data.password == password.encode()
    return AuthResult(success=right, handled=False, auth_data=user if right else None)


class Keeper:
    async def handle_MAIL(self, server, session, envelope, address, options):
        answer = told("mail")
        if answer:
            return answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = told("rcpt", address)
        if answer:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        answer = told("data")
        if answer:
            return answer
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        kept = {
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "user": session.auth_data,
            "encrypted": server.transport.get_extra_info("ssl_object") is not None,
            "multipart": message.is_multipart(),
            "headers": [[name, str(value)] for name, value in message.items()],
            "raw": envelope.content.decode("ascii"),
            "body": message.get_content(),
            "defects": [repr(defect) for defect in message.defects],
        }
        number = len(os.listdir(inbox))
        path = os.path.join(inbox, f"{number:06}.json")
        with open(path + ".part", "w", encoding="utf-8") as file:
            json.dump(kept, file, ensure_ascii=False)
        os.rename(path + ".part", path)
        while os.path.exists(os.path.join(directory, "hold")):
            await asyncio.sleep(0.02)
        return "250 kept as " + str(number)


async def serve():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    implicit = mode == "implicit"
    loop = asyncio.get_running_loop()

    def session():
        return SMTP(
            Keeper(),
            hostname="localhost",
            loop=loop,
            tls_context=None if implicit else context,
            require_starttls=not implicit,
            authenticator=admit,
            auth_required=True,
            auth_require_tls=not implicit,
        )

    server = await loop.create_server(session, "127.0.0.1", int(port), ssl=context if implicit else None)
    print("mail server ready", flush=True)
    await server.serve_forever()


asyncio.run(serve())
