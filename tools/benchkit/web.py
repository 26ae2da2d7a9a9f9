"""The Debian guest's nginx, read while the guest moves."""

import http.client

from labkit import LabError

from .user import User

PORT = 80


class WebUser(User):
    """Fetches a page 50 times a second; the connection lasts as long as nginx lets it."""

    NAME = "web"
    INTERVAL = 0.02

    def __init__(self, guest):
        super().__init__()
        self.guest = guest
        self.connection = self.connect()

    def connect(self):
        connection = http.client.HTTPConnection(self.guest.address, PORT)
        connection.auto_open = False  # that would be from this namespace
        connection.sock = self.guest.connect(PORT, 60)
        return connection

    def ask(self):
        if self.connection.sock is None:
            self.connection = self.connect()
        try:
            self.connection.request("GET", "/")
            answer = self.connection.getresponse()
            answer.read()
        except http.client.HTTPException as error:
            raise LabError(f"{error!r}") from error
        if answer.status != http.HTTPStatus.OK:
            raise LabError(f"{answer.status} {answer.reason}")

    def close(self):
        self.connection.close()
