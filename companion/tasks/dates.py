"""Dates and numbers as people write them, in English and Chinese, and the one ISO form that each of them means.

A date is one of the years 1900 to 2099, a number lies from 100 to 99,999. Every way of writing is called by an example
of it, such as ``"3 May 1984"`` or ``"四千零一十二"``. No text has two meanings: a year of two digits lies from 1930 to
2029.
"""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any, NamedTuple

import torch

from companion.tasks.arguments import check_sizes, random_source

__all__ = ["DATE_FORMS", "dates_and_numbers", "MONTHS", "NUMBER_FORMS", "to_iso", "Written", "written_forms"]

FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2099, 12, 31)
SMALLEST, LARGEST = 100, 99_999

MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
]  # fmt: skip
ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
    "twenty": "twentieth",
    "thirty": "thirtieth",
}
EVERYDAY, FINANCIAL = "零一二三四五六七八九十百千万", "零壹贰叁肆伍陆柒捌玖拾佰仟万"


class Written(NamedTuple):
    """A date or a number as somebody wrote it, and what it means.

    ``text`` is what was written, such as ``"三万五"``; ``iso`` what it means, ``"35000"``, or ``"1984-05-03"`` if it is
    a date; ``form`` the way of writing, a key of ``DATE_FORMS`` or ``NUMBER_FORMS``.

    Examples:
        >>> from companion.tasks.dates import Written
        >>> Written("June 4th, 1985", "1985-06-04", "May 3rd, 1984").iso
        '1985-06-04'
    """

    text: str
    iso: str
    form: str


# English


def _below_hundred(number: int) -> str:
    if number < 20:
        return ONES[number]
    tens, ones = divmod(number, 10)
    return TENS[tens] + (f"-{ONES[ones]}" if ones else "")


def _english(number: int, joint: str = " and ") -> str:
    """In words. The joint stands before what is below a hundred: four thousand *and* twelve."""
    words, rest = [], number
    for size, name in ((1000, "thousand"), (100, "hundred")):
        count, rest = divmod(rest, size)
        if count:
            words.append(f"{_below_hundred(count)} {name}")
    if rest and words:
        return " ".join(words) + joint + _below_hundred(rest)
    return " ".join(words) or _below_hundred(number)


def _hundreds(number: int) -> str | None:
    """Forty-two hundred and seven: for thousands that are no round ones."""
    count, rest = divmod(number, 100)
    if not 10 < count < 100 or count % 10 == 0:
        return None
    return f"{_below_hundred(count)} hundred" + (f" and {_below_hundred(rest)}" if rest else "")


def _ordinal(number: int) -> str:
    """Third, twenty-first, thirtieth."""
    start, hyphen, last = _below_hundred(number).rpartition("-")
    return start + hyphen + ORDINALS.get(last, f"{last}th")


def _ordinal_digits(number: int) -> str:
    ending = "th" if 11 <= number <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _year(year: int) -> str:
    """As it is said: nineteen eighty-four, nineteen oh five, two thousand and five, twenty twenty-six."""
    century, rest = divmod(year, 100)
    if 2000 <= year < 2010:
        return _english(year)
    if rest == 0:
        return f"{_below_hundred(century)} hundred"
    return f"{_below_hundred(century)} " + (f"oh {ONES[rest]}" if rest < 10 else _below_hundred(rest))


# Chinese


def _chinese(number: int, signs: str = EVERYDAY) -> str:
    """Place by place: a digit and its unit, one 零 for any gap between two digits."""
    digits, text, gap = str(number), "", False
    for place, digit in zip(range(len(digits) - 1, -1, -1), digits, strict=True):
        if digit == "0":
            gap = True
            continue
        text += signs[0] * gap + signs[int(digit)] + (signs[9 + place] if place else "")
        gap = False
    return text


def _chinese_small(number: int) -> str:
    """From 1 to 31, as in dates: 十二, not 一十二."""
    text = _chinese(number)
    return text[1:] if 10 <= number < 20 else text


def _spoken(text: str) -> str:
    """As one says it: 两 for 二 before 百, 千 and 万, and 零十 for 零一十."""
    text = text.replace("零一十", "零十")
    for unit in "百千万":
        text = text.replace(f"二{unit}", f"两{unit}")
    return text


def _elided(number: int) -> str | None:
    """The last unit is left out where the digit before stands one place higher: 三万五 is 35,000."""
    digits = str(number).rstrip("0")
    if number % 10 or len(digits) < 2 or digits[-2] == "0":
        return None
    return _spoken(_chinese(number)[:-1])


def _year_digits(year: int, places: int = 4) -> str:
    return "".join("〇一二三四五六七八九"[int(digit)] for digit in str(year)[-places:])


# All ways of writing, by an example; None where a value cannot be written in this way


def _short(day: date, text: str) -> str | None:
    return text if 1930 <= day.year < 2030 else None


DATE_FORMS: dict[str, Callable[[date], str | None]] = {
    "May 3, 1984": lambda day: f"{MONTHS[day.month - 1]} {day.day}, {day.year}",
    "May 3rd, 1984": lambda day: f"{MONTHS[day.month - 1]} {_ordinal_digits(day.day)}, {day.year}",
    "3 May 1984": lambda day: f"{day.day} {MONTHS[day.month - 1]} {day.year}",
    "3 May '84": lambda day: _short(day, f"{day.day} {MONTHS[day.month - 1]} '{day.year % 100:02}"),
    "the third of May, nineteen eighty-four": lambda day: (
        f"the {_ordinal(day.day)} of {MONTHS[day.month - 1]}, {_year(day.year)}"
    ),
    "May the third, nineteen eighty-four": lambda day: (
        f"{MONTHS[day.month - 1]} the {_ordinal(day.day)}, {_year(day.year)}"
    ),
    "1984年5月3日": lambda day: f"{day.year}年{day.month}月{day.day}日",
    "一九八四年五月三日": lambda day: (
        f"{_year_digits(day.year)}年{_chinese_small(day.month)}月{_chinese_small(day.day)}日"
    ),
    "八四年五月三号": lambda day: _short(
        day, f"{_year_digits(day.year, 2)}年{_chinese_small(day.month)}月{_chinese_small(day.day)}号"
    ),
}
NUMBER_FORMS: dict[str, Callable[[int], str | None]] = {
    "4,012": lambda number: f"{number:,}",
    "four thousand and twelve": _english,
    "four thousand twelve": lambda number: _english(number, " "),
    "forty-two hundred": _hundreds,
    "四千零一十二": _chinese,
    "两千零十二": lambda number: _spoken(_chinese(number)),
    "三万五": _elided,
    "叁万伍仟": lambda number: _chinese(number, FINANCIAL),
}


def written_forms(value: Any) -> dict[str, str]:
    """Every way in which a date or a number is written here.

    Args:
        value: a date of the years 1900 to 2099, or a whole number from 100 to 99,999.

    Returns:
        The texts by their form, see ``DATE_FORMS`` and ``NUMBER_FORMS``; without the forms that do not fit.

    Raises:
        TypeError: ``value`` is neither a date nor an int.
        ValueError: it is out of range.

    Examples:
        >>> from companion.tasks.dates import written_forms
        >>> forms = written_forms(35000)
        >>> forms["four thousand and twelve"], forms["三万五"], "forty-two hundred" in forms
        ('thirty-five thousand', '三万五', False)

    Taught in *Sequence to sequence*.
    """
    _check_value(value)
    forms = DATE_FORMS if isinstance(value, date) else NUMBER_FORMS
    texts = {form: write(value) for form, write in forms.items()}
    return {form: text for form, text in texts.items() if text is not None}


def to_iso(value: Any) -> str:
    """What every form of a value means.

    Args:
        value: a date or a number, see :func:`written_forms`.

    Returns:
        Digits: ``"1984-05-03"`` (ISO 8601) for a date, ``"4012"`` for a number.

    Raises:
        TypeError: ``value`` is neither a date nor an int.
        ValueError: it is out of range.

    Examples:
        >>> from companion.tasks.dates import to_iso
        >>> from datetime import date
        >>> to_iso(date(1984, 5, 3)), to_iso(4012)
        ('1984-05-03', '4012')

    Taught in *Sequence to sequence*.
    """
    _check_value(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def dates_and_numbers(count: int, held_out: int, seed: int | None = None) -> tuple[list[Written], list[Written]]:
    """Dates and numbers, about half and half, each written in a form drawn from those that fit it.

    The days are even over the two centuries. A number has three, four or five digits, as often, and half of the numbers
    end in one zero or more, as the numbers that people write out do.

    Args:
        count: how many to learn from.
        held_out: how many to test with. No date and no number of these is among the first, in whatever form.
        seed: repeats the draw; None goes on with torch's own random numbers.

    Returns:
        Two lists of :class:`Written`, in random order. The values of the second are all different; those of the first
        may come back, in another form or the same.

    Raises:
        TypeError: a size or the seed is no int.
        ValueError: a size is less than 1, or ``held_out`` is above 2,000, which would leave too few round numbers.

    Examples:
        >>> from companion.tasks.dates import dates_and_numbers
        >>> train, held_out = dates_and_numbers(count=1000, held_out=100, seed=0)
        >>> {pair.iso for pair in train} & {pair.iso for pair in held_out}
        set()
        >>> train[0]
        Written(text='23,454', iso='23454', form='4,012')

    Taught in *Sequence to sequence*.
    """
    check_sizes(1, count=count, held_out=held_out)
    if held_out > 2000:
        raise ValueError(f"held_out should be at most 2000, got {held_out}")
    source = random_source(seed)
    values, seen = _values(source), {}
    while len(seen) < held_out:
        seen.setdefault(value := next(values), _write(value, source))
    train = []
    while len(train) < count:
        if (value := next(values)) not in seen:
            train.append(_write(value, source))
    return train, list(seen.values())


def _values(source: torch.Generator) -> Iterator[date | int]:
    """Dates and numbers by turns, without end."""
    days = (LAST_DAY - FIRST_DAY).days + 1
    while True:
        yield FIRST_DAY + timedelta(days=_draw(days, source))
        digits = 3 + _draw(3, source)
        number = 10 ** (digits - 1) + _draw(9 * 10 ** (digits - 1), source)
        zeros = _draw(2, source) * (1 + _draw(digits - 1, source))
        yield number // 10**zeros * 10**zeros


def _write(value: date | int, source: torch.Generator) -> Written:
    forms = list(written_forms(value).items())
    form, text = forms[_draw(len(forms), source)]
    return Written(text, to_iso(value), form)


def _draw(below: int, source: torch.Generator) -> int:
    return int(torch.randint(below, (), generator=source))


def _check_value(value: date | int) -> None:
    if isinstance(value, bool) or not isinstance(value, date | int):
        raise TypeError(f"value should be a datetime.date or an int, got {value!r} of type {type(value).__name__}")
    least, most = (FIRST_DAY, LAST_DAY) if isinstance(value, date) else (SMALLEST, LARGEST)
    if not least <= value <= most:
        raise ValueError(f"value should be from {least} to {most}, got {value}")
