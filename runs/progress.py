"""What a person sees of a run: a bar with steps/s and ETA, or a plain line a minute where there is no terminal."""

import sys
import time

from tqdm import tqdm

PLAIN_SECONDS = 60.0


def say(text: str) -> None:
    """A line for the person, above the bar if there is one."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


def clock(seconds: float) -> str:
    """93784 -> "1 d 2 h"; 125 -> "2 min"; 40 -> "40 s"."""
    for unit, size, below, name in (("d", 86400, 3600, "h"), ("h", 3600, 60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} {int(seconds % size // below)} {name}"
    return f"{int(seconds // 60)} min" if seconds >= 60 else f"{int(seconds)} s"


class Progress:
    """update(step) as often as you like; it draws at most ten times a second."""

    def __init__(self, total: int, step: int) -> None:
        self.bar = tqdm(
            total=total, initial=step, unit="step", unit_scale=True, disable=not sys.stderr.isatty(), mininterval=0.1
        )
        self.total, self.begun, self.start = total, step, time.monotonic()
        self.due = self.start + PLAIN_SECONDS
        self.note = ""

    def update(self, step: int) -> None:
        self.bar.update(step - self.bar.n)
        if self.bar.disable:
            self.bar.n = step
            if time.monotonic() > self.due:
                self.line(step)

    def line(self, step: int) -> None:
        self.due = time.monotonic() + PLAIN_SECONDS
        rate = (step - self.begun) / (time.monotonic() - self.start)
        left = clock((self.total - step) / rate) if rate else "?"
        say(f"{step:,} of {self.total:,} steps, {rate:.1f} steps/s, {left} left{self.note}")

    def remark(self, text: str) -> None:
        """A few words beside the bar, e.g. the last return."""
        self.note = f", {text}"
        self.bar.set_postfix_str(text, refresh=False)

    def close(self) -> None:
        self.bar.close()
