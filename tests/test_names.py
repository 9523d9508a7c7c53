"""Names are bytes, tables are text: every name has one text, every text one name."""

import os
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from featuremill._utils import paths


@given(st.binary())
@example(b"%41")
@example(b"\xed\xb3\xbf")  # how a lone surrogate would look in UTF-8
def test_the_text_of_a_name_gives_back_exactly_the_name(name):
    assert paths.decode(paths.encode(name)) == name


@given(st.binary(), st.binary())
def test_two_names_never_share_a_text(one, other):
    assert (paths.encode(one) == paths.encode(other)) == (one == other)


@given(st.one_of(st.binary(), st.text().map(lambda text: text.encode("utf-8", "ignore"))))
@example("a\x85b\u2028c\u2029d\x7f".encode())
def test_no_text_breaks_a_line_or_moves_a_cursor(name):
    text = paths.encode(name)
    assert not {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(character) for character in text}
    assert len(text.splitlines()) <= 1
    text.encode("utf-8")


@pytest.mark.parametrize(
    "name", ["fruits/Apple Braeburn/0_100.jpg", "épi 1.jpg", "りんご/🍎.jpg", "a#b?c&d=e+f.jpg", ""]
)
def test_a_name_that_people_can_read_stays_as_it_is(name):
    assert paths.encode(name.encode()) == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"a\nb\t.jpg", "a%0Ab%09.jpg"),
        (b"100%.jpg", "100%25.jpg"),
        (b"caf\xe9.jpg", "caf%E9.jpg"),
        ("é\x85.jpg".encode(), "é%C2%85.jpg"),
    ],
)
def test_what_is_not_plain_text_is_percent_encoded(name, text):
    assert paths.encode(name) == text


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/data/fruits/Apple Braeburn/0.jpg", "Apple Braeburn"),
        ("s3://bucket/Kiwi/0.jpg", "Kiwi"),
        ("/0.jpg", ""),
        ("0.jpg", ""),
    ],
)
def test_the_label_is_the_parent_folder(path, label):
    assert paths.label(path) == label


@given(st.text().map(lambda text: text.encode("utf-8", "ignore")))
@example("\r\u030c".encode())
def test_every_unicode_spelling_of_a_folder_is_one_label(name):
    text = name.decode()
    spelt = [unicodedata.normalize(form, text).encode() for form in ("NFC", "NFD")]
    one, other = (paths.composed(paths.encode(name)) for name in spelt)
    assert one == other
    assert paths.decode(one) == spelt[0]


@pytest.mark.parametrize("name", ["50% ripe", "pommé", "pomme\u0301", "\udcc3\udca9"])
def test_a_class_is_called_as_its_images_are_labelled_in_every_locale(name):
    # what Python makes of an accent where the locale is C begins with a lone surrogate
    folder = name.encode("utf-8", "surrogateescape")
    script = (
        "import os, sys; from featuremill._utils import paths; folder = bytes.fromhex(sys.argv[1]);"
        "image = '/' + paths.encode(folder) + '/0.jpg';"
        "assert paths.of_class(os.fsdecode(folder)) == paths.label(image);"
        "assert paths.of_class(chr(233)) == chr(233)"
    )
    clean = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for locale in ({}, clean):
        subprocess.run(
            [sys.executable, "-c", script, folder.hex()], check=True, env={**os.environ, **locale}
        )
