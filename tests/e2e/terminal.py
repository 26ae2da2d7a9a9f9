"""A program in a terminal of its own, as a person has it: what the screen shows, and keys."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

PATIENCE = 60
ROWS, COLUMNS = 40, 100
# What `vmigrate` writes beside text: cursor up, erase from there to the end, colours.
CONTROL = re.compile(r"\x1b\[(\d*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


def take_terminal():
    """In the program, before it begins. Whoever runs the tests may have hang-ups ignored, as nohup does."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """Ends the program with a hang-up when the block is left, as closing a window does."""

    def __init__(self, *arguments):
        self.keyboard, program_side = pty.openpty()
        fcntl.ioctl(program_side, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        environment.pop("NO_COLOR", None)
        self.process = subprocess.Popen([str(argument) for argument in arguments], stdin=program_side,
                                        stdout=program_side, stderr=program_side, env=environment,
                                        start_new_session=True,
                                        preexec_fn=take_terminal)
        os.close(program_side)
        self.output = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        self.process.wait(PATIENCE)

    def close(self):
        if self.keyboard is not None:
            os.close(self.keyboard)
            self.keyboard = None

    def press_control_c(self):
        os.write(self.keyboard, b"\x03")

    def read(self):
        """What comes next; False at the end."""
        ready, _, _ = select.select([self.keyboard], [], [], PATIENCE)
        assert ready, f"nothing more came after:\n{self.screen}"
        try:
            data = os.read(self.keyboard, 65536)
        except OSError:
            return False  # Linux's way to say that nobody has the other side open any more
        self.output += data.decode("utf-8", "replace")
        return bool(data)

    def wait_for(self, text):
        """Until the program has printed it; whether it can still be seen is another question."""
        while text not in self.output:
            assert self.read(), f"it ended without '{text}':\n{self.screen}"

    def wait_until_shown(self, *texts):
        """Until all of them can be seen: what was read ends anywhere, in the middle of a line that is drawn anew too."""
        while not all(text in self.screen for text in texts):
            assert self.read(), f"it ended without '{', '.join(texts)}':\n{self.screen}"

    def wait(self):
        """Until the program has ended: its exit code."""
        while self.read():
            pass
        return self.process.wait(PATIENCE)

    @property
    def screen(self):
        """The lines as they stand now, without colours."""
        lines, row, column = [""], 0, 0
        for match in CONTROL.finditer(self.output):
            number, command, line_end, text = match.groups()
            if command == "A":
                row -= int(number or 1)
            elif command == "J":
                lines[row:] = [lines[row][:column]]
            elif line_end == "\r":
                column = 0
            elif line_end == "\n":
                row += 1
            elif text:
                lines[row] = lines[row][:column] + text + lines[row][column + len(text):]
                column += len(text)
            lines += [""] * (row + 1 - len(lines))
        return "\n".join(lines).rstrip()
