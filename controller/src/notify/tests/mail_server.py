"""A mail server for the tests: takes mails, tells each on a line of JSON. Its first line is its port."""
import asyncio, email, json, ssl, sys
from email import policy
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

how, user, password = sys.argv[1:]


class Taker:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=policy.default)
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None or how == "tls",
            "user": getattr(session, "auth_data", None) and session.auth_data.login.decode(),
            "head": {name.lower(): str(value) for name, value in mail.items()},
            "text": mail.get_body().get_content(),
        }
        print(json.dumps(told), flush=True)
        return "250 taken"


def known(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (user.encode(), password.encode())
    return AuthResult(success=good, auth_data=data)


async def main():
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain("cert.pem", "key.pem")
    secured = {"tls_context": tls, "require_starttls": True, "authenticator": known, "auth_required": True}
    options = secured if how == "starttls" else {}
    make = lambda: SMTP(Taker(), hostname="localhost", **options)
    server = await asyncio.get_running_loop().create_server(make, "localhost", 0, family=2, ssl=tls if how == "tls" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
