"""Dates and numbers: every written form is read back by another way, the two parts share nothing, seeds repeat."""

import re
from collections import Counter
from datetime import date

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from companion.tasks.dates import (
    DATE_FORMS,
    MONTHS,
    NUMBER_FORMS,
    Written,
    dates_and_numbers,
    to_iso,
    written_forms,
)
from tests import strategies  # noqa: F401  loads the settings of hypothesis

days = st.dates(date(1900, 1, 1), date(2099, 12, 31))
numbers = st.one_of(st.integers(100, 99_999), st.integers(1, 999).map(lambda n: n * 100), st.just(10_010))

# Read back, by tables typed here once more

WORDS = dict(
    one=1, two=2, three=3, four=4, five=5, six=6, seven=7, eight=8, nine=9, ten=10, eleven=11, twelve=12, thirteen=13,
    fourteen=14, fifteen=15, sixteen=16, seventeen=17, eighteen=18, nineteen=19, twenty=20, thirty=30, forty=40,
    fifty=50, sixty=60, seventy=70, eighty=80, ninety=90, oh=0,
)  # fmt: skip
ORDINAL_WORDS = dict(
    first=1, second=2, third=3, fourth=4, fifth=5, sixth=6, seventh=7, eighth=8, ninth=9, tenth=10, eleventh=11,
    twelfth=12, thirteenth=13, fourteenth=14, fifteenth=15, sixteenth=16, seventeenth=17, eighteenth=18,
    nineteenth=19, twentieth=20, thirtieth=30, twenty=20, thirty=30,
)  # fmt: skip
DIGITS = {sign: n for row in ("〇一二三四五六七八九", "零壹贰叁肆伍陆柒捌玖") for n, sign in enumerate(row)} | {"两": 2}
UNITS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000, "万": 10_000}


def english(text):
    total = 0
    for part in re.split(" thousand ?", text):
        hundreds, _, rest = part.rpartition("hundred")
        value = 100 * sum(map(WORDS.get, re.findall(r"\w+", hundreds)))
        value += sum(WORDS[word] for word in re.findall(r"\w+", rest) if word != "and")
        total = 1000 * total + value
    return total


def chinese(text):
    """Each digit times the unit that follows it; a last digit without one counts in tenths of the unit before."""
    total, last_unit, gap = 0, None, False
    places = "([零〇])|([一二三四五六七八九两壹贰叁肆伍陆柒捌玖]?)([十拾百佰千仟万]?)"
    for zero, digit, unit in re.findall(places, text):
        if zero:
            gap = True
        elif unit:
            total, last_unit, gap = total + DIGITS.get(digit, 1) * UNITS[unit], UNITS[unit], False
        elif digit:
            total += DIGITS[digit] * (1 if gap or last_unit in (None, 10) else last_unit // 10)
    return total


def year_in_words(text):
    if "thousand" in text:
        return english(text)
    century, _, rest = text.partition(" ")
    if rest == "hundred":
        return 100 * WORDS[century]
    return 100 * WORDS[century] + sum(map(WORDS.get, re.findall(r"\w+", rest)))


def full_year(text):
    digits = int("".join(str(DIGITS.get(sign, sign)) for sign in text))
    return digits if len(text) == 4 else digits + (1900 if digits >= 30 else 2000)


def english_date(text):
    if found := re.fullmatch(r"(\w+) (\d+)(?:st|nd|rd|th)?, (\d{4})", text):
        month, day, year = found.groups()
    else:
        day, month, year = re.fullmatch(r"(\d+) (\w+) '?(\d+)", text).groups()
    return date(full_year(year), MONTHS.index(month) + 1, int(day))


def date_in_words(text):
    found = re.fullmatch(r"the (?P<day>.+) of (?P<month>\w+), (?P<year>.+)", text)
    found = found or re.fullmatch(r"(?P<month>\w+) the (?P<day>[^,]+), (?P<year>.+)", text)
    day = sum(ORDINAL_WORDS[word] for word in found["day"].split("-"))
    return date(year_in_words(found["year"]), MONTHS.index(found["month"]) + 1, day)


def chinese_date(text):
    year, month, day = re.fullmatch("(.+)年(.+)月(.+)[日号]", text).groups()
    return date(full_year(year), *(int(part) if part.isdecimal() else chinese(part) for part in (month, day)))


READERS = {
    "May 3, 1984": english_date,
    "May 3rd, 1984": english_date,
    "3 May 1984": english_date,
    "3 May '84": english_date,
    "the third of May, nineteen eighty-four": date_in_words,
    "May the third, nineteen eighty-four": date_in_words,
    "1984年5月3日": chinese_date,
    "一九八四年五月三日": chinese_date,
    "八四年五月三号": chinese_date,
    "4,012": lambda text: int(text.replace(",", "")),
    "four thousand and twelve": english,
    "four thousand twelve": english,
    "forty-two hundred": english,
    "四千零一十二": chinese,
    "两千零十二": chinese,
    "三万五": chinese,
    "叁万伍仟": chinese,
}


def test_every_form_has_its_reader():
    assert set(READERS) == set(DATE_FORMS) | set(NUMBER_FORMS)


@given(st.one_of(days, numbers))
def test_every_form_is_read_back(value):
    for form, text in written_forms(value).items():
        assert READERS[form](text) == value, (form, text)


def test_every_number_is_read_back_in_chinese():
    """Gaps and units that are left out: all of them, since mistakes hide in few."""
    for number in range(100, 100_000):
        for form in ("四千零一十二", "两千零十二", "三万五", "叁万伍仟"):
            text = NUMBER_FORMS[form](number)
            assert text is None or chinese(text) == number, (form, text)


def test_each_text_has_one_meaning():
    meanings = {}
    for number in range(100, 100_000):
        for text in written_forms(number).values():
            assert meanings.setdefault(text, number) == number, text


@pytest.mark.parametrize("form", [*DATE_FORMS, *NUMBER_FORMS])
def test_a_form_is_called_by_an_example_of_it(form):
    value = date(1984, 5, 3) if form in DATE_FORMS else {"三万五": 35_000, "叁万伍仟": 35_000, "两千零十二": 2012}.get(
        form, 4200 if form == "forty-two hundred" else 4012
    )  # fmt: skip
    assert written_forms(value)[form] == form


@pytest.mark.parametrize(
    "value, form, text",
    [
        (date(2026, 11, 21), "一九八四年五月三日", "二〇二六年十一月二十一日"),
        (date(1905, 12, 12), "the third of May, nineteen eighty-four", "the twelfth of December, nineteen oh five"),
        (date(2005, 1, 22), "May 3rd, 1984", "January 22nd, 2005"),
        (date(2000, 1, 11), "3 May '84", "11 January '00"),
        (10_010, "四千零一十二", "一万零一十"),
        (10_010, "两千零十二", "一万零十"),
        (110, "三万五", "一百一"),
        (12_300, "三万五", "一万两千三"),
        (220, "三万五", "两百二"),
        (99_999, "four thousand and twelve", "ninety-nine thousand nine hundred and ninety-nine"),
    ],
)
def test_some_texts_as_people_write_them(value, form, text):
    assert written_forms(value)[form] == text


@pytest.mark.parametrize(
    "value, form",
    [
        (date(1929, 5, 3), "3 May '84"),
        (date(2030, 5, 3), "八四年五月三号"),
        (4012, "三万五"),
        (10_500, "三万五"),
        (300, "三万五"),
        (3000, "forty-two hundred"),
        (10_200, "forty-two hundred"),
    ],
)
def test_forms_that_do_not_fit_are_left_out(value, form):
    assert form not in written_forms(value)


# The draw


@given(st.integers(0, 999))
def test_the_parts_share_no_value_and_every_pair_is_true(seed):
    train, held_out = dates_and_numbers(60, 30, seed)
    assert (len(train), len(held_out)) == (60, 30)
    assert {pair.iso for pair in train}.isdisjoint(pair.iso for pair in held_out)
    assert len({pair.iso for pair in held_out}) == 30
    for pair in train + held_out:
        value = date.fromisoformat(pair.iso) if "-" in pair.iso else int(pair.iso)
        assert pair == Written(written_forms(value)[pair.form], to_iso(value), pair.form)


def test_all_forms_and_lengths_are_drawn_half_of_them_dates():
    train, _ = dates_and_numbers(4000, 100, seed=0)
    forms = Counter(pair.form for pair in train)
    assert set(forms) == set(DATE_FORMS) | set(NUMBER_FORMS) and min(forms.values()) > 40
    assert abs(sum("-" in pair.iso for pair in train) - 2000) < 120
    lengths = Counter(len(pair.iso) for pair in train if "-" not in pair.iso)
    assert set(lengths) == {3, 4, 5} and min(lengths.values()) > 500
    zeros = sum(pair.iso.endswith("0") for pair in train if "-" not in pair.iso)
    assert 0.45 < zeros / 2000 < 0.65


def test_a_seed_repeats_the_draw_and_leaves_torchs_numbers_alone():
    before = torch.get_rng_state()
    assert dates_and_numbers(20, 5, seed=3) == dates_and_numbers(20, 5, seed=3) != dates_and_numbers(20, 5, seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(0)
    first = dates_and_numbers(20, 5)
    assert first != dates_and_numbers(20, 5)


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        (dict(count=0), ValueError, "count should be at least 1"),
        (dict(held_out=2.0), TypeError, "held_out should be an int"),
        (dict(held_out=2001), ValueError, "held_out should be at most 2000"),
        (dict(seed="a"), TypeError, "seed should be an int or None"),
    ],
)
def test_bad_sizes_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        dates_and_numbers(**(dict(count=2, held_out=2, seed=0) | arguments))


@pytest.mark.parametrize("write", [written_forms, to_iso])
@pytest.mark.parametrize(
    "value, error", [(99, ValueError), (100_000, ValueError), (date(1899, 12, 31), ValueError), ("4012", TypeError),
                     (True, TypeError), (4.0, TypeError)],
)  # fmt: skip
def test_bad_values_are_refused(write, value, error):
    with pytest.raises(error, match="value should be"):
        write(value)
