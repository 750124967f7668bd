"""Counts, periods and conditions as people write them: 100k, 1k:updates, 20k,40k, 20k..100k, dormant > 0.3, never."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Annotated, Any, Literal, cast, get_args

from tyro.constructors import PrimitiveConstructorSpec

Unit = Literal["steps", "updates", "targets", "episodes", "tasks", "resets"]
UNITS: tuple[Unit, ...] = get_args(Unit)
SUFFIXES = {"k": 10**3, "M": 10**6, "B": 10**9}


def count(text: str) -> int:
    """ "2.5M" -> 2_500_000. Decimal, not float: 0.1M is exactly 100,000."""
    digits, scale = text.replace("_", ""), 1
    for suffix, value in SUFFIXES.items():
        if digits.endswith(suffix):
            digits, scale = digits[: -len(suffix)], value
            break
    if digits.isascii() and digits.replace(".", "", 1).isdecimal():  # Decimal alone also reads 1e6 and Infinity
        number = Decimal(digits) * scale
        if number < 2**63 and number == int(number):
            return int(number)
    raise ValueError(f"{text!r} is not a count; write e.g. 100000, 100k or 2.5M")


def spell(n: int) -> str:
    """2_500_000 -> "2.5M"; the inverse of `count`."""
    for suffix, value in reversed(SUFFIXES.items()):
        if n >= value and n % (value // 100) == 0:
            return f"{Decimal(n) / value:f}{suffix}"
    return str(n)


@dataclass(frozen=True)
class Period:
    """How often, or when: every `n` of `unit`, always or below `until`; or once at each count in `at`. Falsy: never."""

    n: int = 0
    unit: Unit = "steps"
    at: tuple[int, ...] = ()
    until: int = 0

    def __bool__(self) -> bool:
        return self.n > 0 or bool(self.at)

    def crossed(self, clock: int) -> int:
        """How many times this period has come round when its clock stands at `clock`."""
        if self.at or not self.n:
            return sum(t <= clock for t in self.at)
        return (min(clock, self.until - 1) if self.until else clock) // self.n

    def __str__(self) -> str:
        if not self:
            return "never"
        tail = "" if self.unit == "steps" else f":{self.unit}"
        end = f"..{spell(self.until)}" if self.until else ""
        return ",".join(spell(t) for t in self.at or (self.n,)) + tail + end


NEVER = Period()


def period(text: str) -> Period:
    """ "1k:updates" -> Period(1000, "updates"); "1k:updates..9k" -> the last time at 8k; "20k,40k" -> at these steps;
    "never" -> NEVER."""
    if text == "never":
        return NEVER
    start, dots, end = text.partition("..")
    numbers, colon, unit = start.partition(":")
    if colon and unit not in UNITS:
        raise ValueError(f"{text!r}: no unit {unit!r}; write one of {', '.join(UNITS)}")
    try:
        counts = tuple(count(part) for part in numbers.split(","))
        until = count(end) if dots else 0
    except ValueError:
        counts, until = (), 0
    odd = dots and (len(counts) > 1 or end.startswith("."))  # 5...5M may end at 500k or at 5M
    if not counts or odd or 0 in counts or list(counts) != sorted(set(counts)):
        raise ValueError(f"{text!r} is not a period; write e.g. 100k, 1k:updates, 1k:updates..2M, 20k,40k,60k or never")
    if dots and until <= counts[0]:
        raise ValueError(f"{text!r} never comes round; it ends before {spell(until)}, so write more than {numbers}")
    which = cast(Unit, unit or "steps")
    return Period(counts[0], which, (), until) if len(counts) == 1 else Period(0, which, counts)


@dataclass(frozen=True)
class When:
    """A recorded number that crosses a level; it must come back to `rearm` before it can do so again. Falsy: never."""

    tag: str = ""
    above: bool = True
    level: float = 0.0
    rearm: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.tag)

    def beyond(self, value: float) -> bool:
        """Whether it fires at this value, if it is armed."""
        return value > self.level if self.above else value < self.level

    def back(self, value: float) -> bool:
        """Whether this value arms it again."""
        return value <= self.rearm if self.above else value >= self.rearm

    def __str__(self) -> str:
        if not self:
            return "never"
        tail = "" if self.rearm == self.level else f" rearm {short(self.rearm)}"
        return f"{self.tag} {'>' if self.above else '<'} {short(self.level)}{tail}"


NOWHEN = When()


def short(x: float) -> str:
    """As few digits as read back as x: 3.0 -> "3"."""
    return f"{x:g}" if float(f"{x:g}") == x else repr(x)


def when(text: str) -> When:
    """ "dormant > 0.3" fires when probe/dormant exceeds .3 and is armed again at .3 or less; "... rearm 0.2" at .2."""
    if text == "never":
        return NOWHEN
    words = text.replace(">", " > ").replace("<", " < ").split()
    try:
        tag, sign, level, *rest = words
        rearm = level if not rest else rest[1] if rest[0] == "rearm" and len(rest) == 2 else "?"
        found = When(tag, {">": True, "<": False}[sign], float(level), float(rearm))
    except (ValueError, KeyError):
        raise ValueError(
            f"{text!r} is no condition; write e.g. 'dormant > 0.3' or 'return/train < 20 rearm 30'"
        ) from None
    if not (isfinite(found.level) and isfinite(found.rearm)):
        raise ValueError(f"{text!r}: a level must be a finite number")
    if found.beyond(found.rearm):
        raise ValueError(f"{text!r} would never be armed again; rearm on the near side of {level}")
    return found


def duration(text: str) -> int:
    """ "90" or "90s" -> 90, "30m" -> 1800, "2h" -> 7200, "1d" -> 86400 seconds."""
    scale = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1:], 0)
    digits = text[:-1] if scale else text
    if not digits.isdecimal():
        raise ValueError(f"{text!r} is not a duration; write e.g. 90s, 30m, 2h or 1d")
    return int(digits) * (scale or 1)


def broken(settings: object, rules: Mapping[str, tuple[bool, str]]) -> list[str]:
    """{field: (holds, what it must be)} -> a sentence for each rule that does not hold."""
    return [f"{k} is {getattr(settings, k)}, but must be {rule}" for k, (holds, rule) in rules.items() if not holds]


def typed(
    metavar: str, kind: type, read: Callable[[str], Any], write: Callable[[Any], str]
) -> PrimitiveConstructorSpec[Any]:
    """How tyro reads a word of the command line as a value, and writes it."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda args: read(args[0]),
        is_instance=lambda x: isinstance(x, kind),
        str_from_instance=lambda x: [write(x)],
    )


Count = Annotated[int, typed("COUNT", int, count, spell)]
Every = Annotated[Period, typed("PERIOD", Period, period, str)]
Duration = Annotated[int, typed("DURATION", int, duration, lambda n: f"{n}s")]
Condition = Annotated[When, typed("CONDITION", When, when, str)]
