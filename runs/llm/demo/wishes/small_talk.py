"""Greetings, thanks, and what the demo model can do."""

from __future__ import annotations

from runs.llm.demo.wishes import (
    Greet,
    Help,
    Thanks,
    Wish,
)
from runs.llm.demo.wishes.mentions import Sketch
from runs.llm.demo.wishes.patterns import pattern

_GREETING = pattern(
    r"^(?:hi|hello|hey|hiya|greetings|good (?:morning|afternoon|evening|day))(?: there| all| agent| demo| openintern)?\W*$",
    r"^(?:你好|您好|嗨|哈喽|哈啰|早上好|下午好|晚上好|在吗)\W*$",
)
_HELP = pattern(
    r"^\W*(?:help|\?|？)(?: me)?\W*$",
    r"^(?:so |and |hi,? |hello,? )?(?:what (?:can|could|do) you (?:do|know|offer|help)|who are you|what are you)\b",
    r"^what (?:can|should|could) i (?:ask|do here|try)\b",
    r"^how (?:do|can|should) i use (?:you|this(?: chat| agent)?)\W*$",
    r"^(?:你能|你会|你可以|你都?能)(?:做|帮我做|干|些)?(?:什么|啥|哪些)|^你是谁|^你是什么|^帮助\W*$|^怎么(?:使用|用)你?\W*$|^有什么功能",
    r"^我(?:能|可以|该)问(?:你)?什么",
)
_THANKS = pattern(
    r"^(?:thanks?|thank you|thx|great|cool|nice|perfect|awesome|good job|well done|bye|goodbye|ok(?:ay)?)"
    r"(?: a lot| so much| very much| you)?\W*$",
    r"^(?:谢谢|多谢|感谢|好的|很好|不错|太好了|再见|拜拜)(?:你|您|了)?\W*$",
)


def small_talk(drawn: Sketch) -> Wish | None:
    if _GREETING.search(drawn.text):
        return Greet()
    if _HELP.search(drawn.text):
        return Help()
    return Thanks() if _THANKS.search(drawn.text) else None
