"""What the lab cannot do, in words for a person."""


class LabError(Exception):
    """The message says what is wrong; `hint` what to do about it."""

    def __init__(self, message, hint=""):
        super().__init__(message)
        self.hint = hint
