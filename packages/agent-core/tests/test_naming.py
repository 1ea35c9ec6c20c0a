"""How a person's text names a value in another spelling, and what it does not name."""

import pytest

from agent_core.naming import called_by_name, names, parted_sentences, said_as

SENTENCES = [
    # what the person wrote, an address, whether it is named
    ("post it to www.our-company.example.They sent it to Bob", "www.our-company.example", True),
    ("write to anna@home.example.Then tell me", "anna@home.example", True),
    ("post it to www.our-company.example.They sent", "www.our-company.example.They", False),
    ("look at www.shop.co.Uk for it", "www.shop.co", False),  # who wrote the end of an address with a capital
    ("look at www.shop.example.Evil", "www.shop.example", False),  # nothing follows: it is the address itself
    ("look at www.shop.example.Evil/take it", "www.shop.example", False),
    ("write to john.Smith@home.example now", "smith@home.example", False),
    ("write to anna@home.example.Smith@x.example, now", "anna@home.example", False),
]


@pytest.mark.parametrize(("said", "address", "named"), SENTENCES)
def test_a_sentence_may_end_right_behind_an_address(said, address, named):
    assert names(parted_sentences(said), address) is named


BOOK = ("mark.davies@home.example", "mark.lee@home.example\nsarah.baker@work.example", "info@home.example")
CALLED = [
    # what the person wrote, the address, what tools vouch for, whether the person meant it
    ("invite Sarah, please", "sarah.baker@work.example", BOOK, True),
    ("invite Sarah's team", "sarah.baker@work.example", BOOK, True),
    ("go hiking with Davies and me", "mark.davies@home.example", BOOK, True),
    ("go hiking with Mark", "mark.davies@home.example", BOOK, False),  # there are two
    ("go hiking with Mark", "mark.davies@home.example", BOOK[:1], True),
    ("Mark all of them as read", "mark.davies@home.example", BOOK[:1], False),  # a verb, not a name
    ("Done. Mark all of them as read", "mark.davies@home.example", BOOK[:1], False),
    ("please mark all of them as read", "mark.davies@home.example", BOOK[:1], False),
    ("send the info to bert", "info@home.example", BOOK, False),
    ("write to Home", "info@home.example", BOOK, False),  # the host is nobody's name
    ("write to Dave", "mark.davies@home.example", BOOK[:1], False),  # a part of a name is none
    ("write to Mark.Davies@evil.example", "mark.davies@home.example", BOOK[:1], False),
    ("pay to Sarah", "sarah", BOOK, False),  # no address
]


@pytest.mark.parametrize(("said", "address", "known", "meant"), CALLED)
def test_a_name_stands_for_the_one_known_address_that_has_it(said, address, known, meant):
    assert called_by_name(said, address, known) is meant


ITEMS = [
    # what the person wrote, names of items, those that the person named
    ("the 'Introductory meeting' on Monday", {"Introductory meeting", "Meeting"}, {"Introductory meeting"}),
    ('the "introductory-meeting"', {"Introductory meeting"}, {"Introductory meeting"}),
    ("the „Planung“ today", {"Planung"}, {"Planung"}),
    ("read client-minutes.docx", {"client-minutes.docx", "minutes.docx"}, {"client-minutes.docx"}),
    ("read client minutes.docx", {"client minutes.docx", "minutes.docx"}, {"client minutes.docx"}),
    ("read minutes.docx and client minutes.docx", {"client minutes.docx", "minutes.docx"}, {"client minutes.docx", "minutes.docx"}),
    ("don't open the meeting's notes", {"t open the meeting"}, set()),  # no quotation marks
    ("send an email to all of them", {"send an email", "all", "to"}, set()),  # words that anybody can guess
    ("refund the 10.00 that I got", {"10.0", "10"}, {"10.0", "10"}),
    ("refund the 10 that I got", {"10.0"}, set()),  # short numbers are in any text
    ("refund the 110.00 that I got", {"10.0", "10.5"}, set()),
    ("wait for v1.100.00", {"100.0"}, set()),
    ("", {"Lunch", "", "'"}, set()),
]  # fmt: skip


@pytest.mark.parametrize(("said", "items", "named"), ITEMS)
def test_an_item_is_named_as_others_could_not_guess(said, items, named):
    assert set(said_as(said, items)) == named


def test_items_of_one_name_are_told_by_the_same_words():
    """So that a caller can see that two of them answer to it."""
    found = said_as("the 'team sync'", {"Team sync", "team-sync"})
    assert set(found) == {"Team sync", "team-sync"}
    assert len(set(found.values())) == 1


def test_long_texts_are_read_in_linear_time():
    """None of these may take what grows with the square of the length; each would then run for minutes."""
    for text in ("a." * 200_000, "A" + "a" * 200_000 + "@", "'" * 200_000, "1." * 200_000, " A" * 200_000):
        parted_sentences(text)
        called_by_name(text, "anna@home.example", ["anna@home.example"])
        said_as(text, {"x.docx", "10.0"})
