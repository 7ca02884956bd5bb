"""A note as pages show it: whatever a server sends, a page has something fit to show, and nothing is interpreted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, g, render_template, session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markupsafe import escape

from demo.notes import Note, read_author, read_files, read_note, read_notes
from demo.notifications import read_notifications
from demo.panels import PANELS
from demo.template_filters import file_size, percent_of
from misskey import Server
from web.accounts import Account
from web.template_filters import initial

SERVER = Server("https://misskey.example")
BOB = {"id": "9bob", "username": "bob", "name": None, "host": None, "avatarUrl": "https://misskey.example/bob.png"}
ALICE = Account("9alice", "alice", "Alice", SERVER.origin, "token", None, 0, key="key")
EVERY_SCRIPT = "Привет γειά שלום مرحبا नमस्ते 안녕하세요 สวัสดี こんにちは 𠮷野家 👩‍👩‍👧 ẗ̈́"
SENT: dict[str, Any] = {
    "id": "9note",
    "createdAt": "2026-01-02T03:04:05.678Z",
    "user": BOB,
    "text": "Hello",
    "cw": None,
    "visibility": "public",
    "localOnly": False,
    "files": [],
    "reactions": {},
}


@pytest.fixture(autouse=True)
def request_of_a_visitor(app: Flask) -> Iterator[None]:
    """Pictures' addresses are signed by the app that answers, for whom it answers."""
    with app.test_request_context():
        session["accounts"], g.accounts = [ALICE.key], {ALICE.key: ALICE}
        yield


def read(**fields: Any) -> Note:
    note = read_note(SENT | fields, SERVER)
    assert note
    return note


def shown(note: Note) -> str:
    return render_template("notes/note.html", note=note, account=ALICE)


def test_a_note_has_its_author_and_its_time() -> None:
    note = read()

    assert (note.author.name, note.author.address) == ("bob", "@bob@misskey.example")
    assert note.at is not None
    assert note.at.isoformat() == "2026-01-02T03:04:05.678000+00:00"
    assert 'href="https://misskey.example/notes/9note"' in shown(note)
    assert '<time datetime="2026-01-02T03:04:05.678000+00:00"' in shown(note)


def test_somebody_of_another_server_is_told_from_a_namesake_here() -> None:
    author = read_author(BOB | {"name": "Bob\u202e", "host": "elsewhere.example"}, SERVER)

    assert author
    assert (author.name, author.address) == ("Bob", "@bob@elsewhere.example")


def test_every_script_and_three_thousand_characters_are_shown_whole() -> None:
    long = (EVERY_SCRIPT * 60)[:3000]

    assert long.rstrip() in shown(read(text=long))


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "**bold** $[tada text] <center>x</center> `code`",
        '<img src=x onerror="alert(1)">',
        "javascript:alert(1) [link](javascript:alert(1))",
        "{{ 7 * 7 }} {% raw %}",
    ],
)
def test_markup_of_any_kind_is_text(text: str) -> None:
    page = shown(read(text=text, cw=None))

    assert str(escape(text)) in page
    assert "<script" not in page
    assert "onerror=" not in page.replace("onerror=&#34;", "")


def test_a_content_warning_folds_the_note() -> None:
    page = shown(read(cw="The end of the film", text="Everyone dances"))

    summary, _, rest = page.partition("</summary>")
    assert "The end of the film" in summary
    assert "Everyone dances" in rest
    assert "<details class" in page
    assert "open" not in page


@pytest.mark.parametrize("cw", ["", " ", "\u200b", "\u3164\u2800", "\u3000", "\n", "\u202e"])
def test_a_content_warning_that_says_nothing_folds_the_note_all_the_same(cw: str) -> None:
    inner = SENT | {"id": "9inner", "text": "Everyone dances", "cw": cw}
    for note in (read(cw=cw, text="Everyone dances"), read(text=None, renote=inner), read(text="See", renote=inner)):
        page = shown(note)
        before, _, rest = page.partition("Content warning</bdi></summary>")
        assert "Everyone dances" not in before
        assert "Everyone dances" in rest

    part = notification_panel([{"id": "9", "type": "mention", "user": BOB, "note": inner}])
    assert "Content warning" in part
    assert "Everyone dances" not in part


def test_a_note_without_a_content_warning_is_not_folded() -> None:
    assert "<details" not in shown(read(cw=None))
    assert "<details" not in shown(read(cw=5))
    part = notification_panel([{"id": "9", "type": "mention", "user": BOB, "note": SENT}])
    assert "Content warning" not in part
    assert "Hello" in part


def notification_panel(answer: list[Any]) -> str:
    return render_template("panels/notifications.html", panel=PANELS[2], answer=answer, account=ALICE)


@pytest.mark.parametrize("name", ["\u200b", "\u3164", "\u2800", "\u115f\u1160", "\xad", "\ufe0f", "\U000e0041", " "])
def test_a_name_that_shows_nothing_is_none(name: str) -> None:
    author = read_author(BOB | {"name": name}, SERVER)

    assert author
    assert author.name == "bob"


@pytest.mark.parametrize(
    "name",
    [
        *("A|lice", "愛|", "e\u0301|a", "か\u3099|く", "ｶﾞ|ｷﾞ", "|", "👍🏽|👍", "🇯🇵|🇫🇷", "🇯|", "🐈|🐈", "∑|∑", "<|b>"),
        *(
            "👩\u200d👩\u200d👧\u200d👦| family",
            "👩🏻\u200d❤\ufe0f\u200d💋\u200d👩🏾|x",
            "🏳\ufe0f\u200d🌈|",
            "1\ufe0f\u20e3|2",
        ),
        *("🏴\U000e0067\U000e0062\U000e007f|x", "🙂\u200d↔\ufe0f|x", "\U0001fae8\u200d\U0001fae8|a", "a\u200d|b"),
        *("नि|", "क्ष|मा", "กำ|", "한|글", "\u1112\u1161\u11ab|\u1100", "|\u200b"),
    ],
)
def test_an_initial_is_a_whole_letter(name: str) -> None:
    first, _, rest = name.partition("|")

    assert initial(first + rest) == first


@pytest.mark.parametrize("name", ["\u200bBob", "\u3164 Bob", "\ufeff\u2800Bob"])
def test_an_initial_can_be_seen(name: str) -> None:
    assert initial(name) == "B"


@pytest.mark.parametrize(
    ("part", "whole", "percent"),
    [
        *((512.5, 1024.75, 50), (1, 2.0, 50), (0.5, 0.25, 100), (3, 0, 0), (-1, 5, 0), (True, 5, 0), ("1", 5, 0)),
        *((1, float("inf"), 0), (float("nan"), 1, 0), (1, 1e-300, 100), (10**400, 5, 0), (None, None, 0)),
    ],
)
def test_a_share_is_a_whole_number_of_percent(part: object, whole: object, percent: int) -> None:
    assert percent_of(part, whole) == percent


@pytest.mark.parametrize(
    ("size", "words"),
    [
        *(
            (1572864.5, "1.5 MB"),
            (0.5, "0.5 bytes"),
            (107374182.4, "102.4 MB"),
            (float("nan"), "–"),
            (float("inf"), "–"),
        ),
        *((-0.5, "–"), (True, "–"), ("1", "–"), (10**400, "–")),
    ],
)
def test_a_size_may_be_a_fraction(size: object, words: str) -> None:
    assert file_size(size).replace("\xa0", " ") == words


def test_files_are_shown_with_their_descriptions() -> None:
    sent = {"id": "9f", "name": "cat.png", "type": "image/png", "size": 1500, "comment": "A cat on a wall"}
    url = {"url": "https://misskey.example/cat.png", "thumbnailUrl": "https://misskey.example/small.webp"}
    page = shown(read(text=None, files=[sent | url]))

    assert 'alt="A cat on a wall"' in page
    assert 'src="/media?account=' in page
    assert "1.5\u00a0kB" in page
    assert 'href="https://misskey.example/cat.png"' in page


def test_a_sensitive_file_is_folded() -> None:
    page = shown(
        read(files=[{"id": "9f", "name": "a.png", "isSensitive": True, "thumbnailUrl": "https://x.example/a"}])
    )

    assert page.index("Marked as sensitive") < page.index('<img src="/media', page.index("<figure"))
    assert "<details>" in page


def test_a_file_with_an_address_of_another_kind_is_no_link() -> None:
    plain = "http://x.example/"
    for url in ("javascript:alert(1)", "data:text/html,x", "https://x.example/\nx", plain, 5, None, "//x.example"):
        page = shown(read(files=[{"id": "9f", "name": "a.txt", "url": url, "thumbnailUrl": url}]))
        assert "a.txt</a>" not in page
        assert "<img" not in page.partition("</header>")[2]


def test_a_renote_shows_the_note_and_who_passed_it_on() -> None:
    inner = SENT | {"id": "9inner", "text": "From Alice", "user": BOB | {"username": "alice", "name": "Alice"}}
    note = read(text=None, renoteId="9inner", renote=inner)

    assert note.passes_on
    assert "bob</bdi> renoted" in shown(note)
    assert "From Alice" in shown(note)


def test_a_quote_shows_both() -> None:
    page = shown(read(text="Look at this", renoteId="9inner", renote=SENT | {"id": "9inner", "text": "This"}))

    assert page.index("Look at this") < page.index("<blockquote")
    assert ">This<" in page


def test_a_renote_of_a_quote_shows_what_was_quoted() -> None:
    quote = SENT | {"id": "9quote", "text": "Look at this", "renoteId": "9inner", "renote": SENT | {"text": "This"}}
    page = shown(read(text=None, renoteId="9quote", renote=quote))

    assert page.index("renoted") < page.index("Look at this") < page.index("<blockquote") < page.index(">This<")
    assert "was deleted" in shown(read(text=None, renoteId="9quote", renote=quote | {"renote": None}))


@pytest.mark.parametrize("renote", [None, {}, "gone", {"id": "9x"}])
def test_a_renote_of_a_deleted_note_says_so(renote: Any) -> None:
    note = read(text=None, renoteId="9gone", renote=renote)

    assert not note.passes_on
    assert "was deleted" in shown(note)


def test_nothing_in_a_note_is_more_than_a_page_can_bear() -> None:
    choices = {"choices": [{"text": f"c{number}", "votes": 1} for number in range(1000)]}
    files = [{"id": f"9f{number}", "name": "n"} for number in range(1000)]
    user = dict.fromkeys(("username", "name", "host"), "x" * 100_000)
    note = read(text="x" * 100_000, cw="x" * 100_000, files=files, poll=choices, user=BOB | user)

    assert (len(note.author.name), len(note.author.address)) == (100, len("@@") + 128 + 255)
    assert (len(note.text), len(note.cw), len(note.files), len(note.poll)) == (10_000, 500, 16, 20)


def test_renotes_within_renotes_end() -> None:
    note: dict[str, Any] = dict(SENT)
    for number in range(500):
        note = SENT | {"id": f"9n{number}", "renoteId": note["id"], "renote": note}

    found = read_note(note, SERVER)
    assert found
    assert found.renote
    assert found.renote.renote
    assert found.renote.renote.renote is None
    assert not found.renote.renote.renote_gone


def test_a_poll_shows_choices_and_votes() -> None:
    choices = [{"text": "Soup", "votes": 3}, {"text": "Cake", "votes": 1}, "odd", {"votes": -4}, {"text": 5}]
    note = read(poll={"choices": choices})

    assert note.poll == [
        ("Soup", 3, 75),
        ("Cake", 1, 25),
        ("", 0, 0),
        ("", 0, 0),
    ]
    assert "3 votes" in shown(note)
    assert "1 vote<" in shown(note)


def test_reactions_are_counted_the_most_frequent_first() -> None:
    note = read(reactions={"👍": 1, ":blob@.:": 5, ":far@other.example:": 2, "x": "many", "y": -1, "z": True})

    assert note.reactions == [(":blob:", 5), (":far@other.example:", 2), ("👍", 1)]


def test_the_most_frequent_reaction_is_shown_wherever_it_stands() -> None:
    emoji = f":{'long_name' * 10}@{'long-host' * 10}.example:"
    note = read(reactions={**{f":{number}@.:": 1 for number in range(40)}, emoji: 500})

    assert len(note.reactions) == 30
    assert note.reactions[0] == (emoji, 500)


def test_a_note_that_only_others_may_see_says_so() -> None:
    hidden = SENT | {"text": None, "isHidden": True}

    assert "Only others may see this note." in shown(read(text=None, renote=hidden))
    assert "Only others" not in shown(read())


@pytest.mark.parametrize("fields", [{"deletedAt": "2026-01-03T00:00:00Z"}, {"fileIds": ["9f"]}, {"cw": "folded"}])
def test_a_note_of_which_nothing_can_be_shown_says_so(fields: dict[str, Any]) -> None:
    """Streams of older servers leave the files out."""
    assert "Nothing of this note can be shown here." in shown(read(text=None, **fields))
    assert "Nothing of this note" not in shown(read(**fields))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"visibility": "home"}, "Home timelines only"),
        ({"visibility": "followers"}, "Followers only"),
        ({"visibility": "specified"}, "Only for the people it is addressed to"),
        ({"localOnly": True}, "This server only"),
        ({"replyId": "9other"}, "A reply"),
        ({"createdAt": None}, "This note"),
        ({"createdAt": "2999-01-01T00:00:00Z"}, "just now"),
    ],
)
def test_what_is_special_about_a_note_is_told(fields: dict[str, Any], words: str) -> None:
    assert words in shown(read(**fields))
    assert words not in shown(read())


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "text",
        [],
        {},
        SENT | {"id": "../x"},
        SENT | {"user": None},
        SENT | {"user": {"id": 1}},
        SENT | {"id": 7},
    ],
)
def test_what_is_no_note_is_left_out(value: Any) -> None:
    assert read_notes([value, SENT], SERVER) == [read()]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(st.dictionaries(st.sampled_from([*SENT, "poll", "renote", "renoteId", "replyId"]), json_values, max_size=8))
def test_no_value_of_a_wrong_kind_breaks_a_page(fields: dict[str, Any]) -> None:
    note = read_note(SENT | {"poll": {"choices": [fields]}, "files": [{"id": "9f"} | fields]} | fields, SERVER)
    if note:
        assert "<script" not in shown(note)
    read_notifications([fields, {"type": "reaction", "user": BOB, "note": fields} | fields], SERVER)
    read_files([fields, {"id": "9f"} | fields], SERVER)
    json.dumps([fields])


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"type": "follow", "user": BOB}, "bob follows you"),
        ({"type": "reaction", "user": BOB, "reaction": ":blob@.:"}, "bob reacted with :blob:"),
        ({"type": "createToken"}, "An access token was made for your account"),
        ({"type": "app", "header": "Backup", "body": "Done"}, "Backup: Done"),
        ({"type": "app", "body": "Done"}, "Done"),
        ({"type": "chatRoomInvitationReceived", "user": BOB}, "bob invited you to a chat room"),
        ({"type": "app"}, "An app has something to say"),
        ({"type": "mention"}, "Somebody mentioned you"),
        ({"type": "edited", "user": BOB, "note": SENT}, "bob edited a note"),
        ({"type": "importCompleted", "importedEntity": "muting"}, "Your import is done"),
        ({"type": "scheduledNoteFailed", "reason": "…"}, "A scheduled note could not be posted"),
        ({"type": "brandNew"}, "Something new: brandNew"),
        ({}, "Something new"),
        ({"type": "\u200b"}, "Something new"),
        ({"type": "reaction", "user": BOB, "reaction": None}, "bob reacted"),
    ],
)
def test_a_notification_says_what_happened(sent: dict[str, Any], words: str) -> None:
    (notification,) = read_notifications([sent, "odd"], SERVER)

    assert notification.words == words


def test_another_apps_words_are_text_in_bounds() -> None:
    told = {"header": "a\nb" * 1000, "body": "c\u202e" * 1000}, {"header": 5, "body": []}

    great, none = read_notifications([{"type": "app", **words} for words in told], SERVER)
    assert len(great.words) <= 100 + len(": ") + 300
    assert not set(great.words) & set("\n\u202e")
    assert none.words == "An app has something to say"


def test_a_renote_in_a_notification_shows_what_was_renoted() -> None:
    renote = SENT | {"text": None, "renote": SENT | {"text": "My own words"}}
    (notification,) = read_notifications([{"type": "renote", "user": BOB, "note": renote}], SERVER)

    assert notification.note
    assert notification.note.text == "My own words"


def test_a_name_from_right_to_left_does_not_turn_what_happened_around() -> None:
    sent = [{"type": "follow", "user": BOB | {"name": "محمد"}}]
    page = render_template("panels/notifications.html", answer=sent, account=ALICE, panel=PANELS[2], until="")

    assert PANELS[2].name == "notifications"
    assert '<bdi dir="ltr">محمد follows you</bdi>' in page


def test_a_name_with_percent_signs_breaks_no_words() -> None:
    (notification,) = read_notifications([{"type": "follow", "user": BOB | {"name": "100%(who)s %s"}}], SERVER)

    assert notification.words == "100%(who)s %s follows you"


def test_only_a_note_of_ones_own_can_be_deleted() -> None:
    assert "Delete" not in shown(read())
    assert 'action="/notes/9note/delete"' in shown(read(user=BOB | {"id": "9alice", "username": "alice"}))


def test_undoing_a_renote_of_ones_own_does_not_read_like_deleting_the_note() -> None:
    page = shown(read(user=BOB | {"id": "9alice", "username": "alice"}, text=None, renote=SENT | {"id": "9other"}))

    assert 'action="/notes/9note/delete"' in page
    for words in ("Undo the renote", "The note that you renoted stays.", "Undo this renote"):
        assert words in page
    assert "Delete" not in page
