"""Which kinds of values a request holds, by their form alone: `2023-04-15` is a date, whatever is wanted with it.

The kinds are called as authors call the arguments that take them, so that a search for tools prefers those that can use
what the person gave. Places and amounts of money are left out: they made searches worse, as half of all tools take one.
"""

import re

_MONTH = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|"
    "oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_KINDS = {
    "date": (
        r"\b\d{4}[-./]\s?\d{1,2}[-./]\s?\d{1,2}\b",
        r"\b\d{1,2}/\d{1,2}/\d{2,4}\b",
        rf"\b(?:{_MONTH})\.?,? (?:the )?\d{{1,2}}",
        rf"\b\d{{1,2}}(?:st|nd|rd|th)?(?: of)? (?:{_MONTH})\b",
        r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b",
        r"\b(?:tomorrow|tonight|next (?:week|month))\b",
    ),
    "time": (r"\b\d{1,2}(?::\d{2})? ?[ap]\.?m\b", r"\b\d{1,2}:\d{2}\b", r"\bo'clock\b"),
    "email": (r"\w@[\w-]+\.\w",),
    "url": (r"\bhttps?://", r"\bwww\."),
    "file": (r"\b[\w-]{1,100}\.(?:txt|docx?|xlsx?|csv|pdf|png|jpe?g|json|py|js|html|zip)\b",),
    "latitude longitude coordinates": (r"-?\d{1,3}\.\d{3,},? ?-?\d{1,3}\.\d{3,}",),
}
_FORMS = {kind: re.compile("|".join(forms), re.IGNORECASE) for kind, forms in _KINDS.items()}


def kinds_of_values(text: str) -> list[str]:
    """The kinds of values in a text, each in the words that arguments are called by."""
    return [kind for kind, form in _FORMS.items() if form.search(text)]
