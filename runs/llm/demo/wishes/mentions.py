"""The files and the quoted texts that a wish mentions, lifted out so that a rule sees only its form."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runs.llm.demo.text.reading import FENCE_LANGUAGE, PROSE
from runs.llm.demo.words.terms import CJK

# What stands in a form for a file and for a quoted text: one private character each.
_FIRST_FILE, _FIRST_LITERAL, _MOST = 0xE000, 0xE100, 0x100
FILE = "[\ue000-\ue0ff]"
LITERAL = "[\ue100-\ue1ff]"
_BLANKS = re.compile(r"\s+")
_MARKS = re.compile("[\ue000-\ue1ff]")

_EXTENSIONS = "|".join(sorted((FENCE_LANGUAGE.keys() | PROSE) - {""}, key=len, reverse=True))
_BARE = "README|LICEN[CS]E|COPYING|CHANGELOG|CONTRIBUTING|Makefile|Dockerfile|NOTICE|AUTHORS|ARCHITECTURE"
_AFTER = r"(?![A-Za-z0-9_(/]|\.\w)"
_MENTION = re.compile(
    rf"[\"“`'「](?P<quoted>[^\"“”`'「」\n]{{1,120}}\.(?:{_EXTENSIONS}))[\"”`'」]"
    r"|```\w*\n(?P<block>.*?)```|(?<=[:：])[ \t]*\n(?P<rest>.+)\Z|\"(?P<l1>[^\"]+)\"|“(?P<l2>[^”]+)”|「(?P<l3>[^」]+)」|『(?P<l4>[^』]+)』"
    r"|`(?P<l5>[^`]+)`|(?<!\w)'(?P<l6>[^'\n]+)'(?!\w)"
    rf"|(?P<ascii>(?:[A-Za-z0-9_.@-]{{1,60}}/){{0,12}}[A-Za-z0-9_@-][A-Za-z0-9_.@-]{{0,100}}\.(?:{_EXTENSIONS})){_AFTER}"
    rf"|(?<![A-Za-z0-9_./-])(?P<bare>(?:[A-Za-z0-9_.-]{{1,60}}/){{0,12}}(?:{_BARE}))(?![A-Za-z0-9_./-])"
    rf"|(?P<chinese>[{CJK}A-Za-z0-9_/-]{{1,100}}\.(?:{_EXTENSIONS})){_AFTER}",
    re.DOTALL,
)
# A Chinese file name runs into the words before it: it begins after the last of these.
_BEFORE_NAME = re.compile(
    "^.*(?:打开|读取|一下|显示|查看|看看|总结|概括|摘要|归纳|文件|[到在把将读看写入为的和个])(?=[^.])"
)
_POLITE = re.compile(
    r"^(?:(?:hi|hello|hey)\b[,!. ]+|please\b,? *|kindly\b *|(?:can|could|would|will) you\b(?: please)? *"
    r"|i(?:'d| would) like (?:you )?to\b *|i want (?:you )?to\b *|(?:now|then|and|ok|okay|so)\b,? +|let's\b *"
    r"|请问|请你|请|麻烦你?|帮我|帮忙|能否|能不能|可以|你能|现在|然后|那么|我想要?|我要|给我)+",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Sketch:
    """`form` is the text on one line, with a mark for each of `files` and `literals`."""

    text: str
    form: str
    files: tuple[str, ...]
    literals: tuple[str, ...]

    def file(self, mark: str) -> str:
        return self.files[ord(mark) - _FIRST_FILE]

    def restore(self, fragment: str) -> str:
        """A part of the form with what was lifted out put back; a lone quotation without its quotes."""
        return _MARKS.sub(lambda match: self._lifted(match[0]), fragment).strip()

    def _lifted(self, mark: str) -> str:
        code = ord(mark)
        return self.literals[code - _FIRST_LITERAL] if code >= _FIRST_LITERAL else self.file(mark)


def sketch(text: str) -> Sketch:
    text = _MARKS.sub("", text).strip()
    files: list[str] = []
    literals: list[str] = []

    def lift(match: re.Match[str]) -> str:
        name = str(match.lastgroup)
        if len(files) >= _MOST or len(literals) >= _MOST:
            return match[0]
        if name == "chinese":
            cut = _start_of_name(match[0])
            files.append(match[0][cut:])
            return match[0][:cut] + chr(_FIRST_FILE + len(files) - 1)
        if name in {"quoted", "ascii", "bare"}:
            files.append(match[name].strip().removeprefix("./"))
            return chr(_FIRST_FILE + len(files) - 1)
        literals.append(match[name])
        return chr(_FIRST_LITERAL + len(literals) - 1)

    form = _POLITE.sub("", _BLANKS.sub(" ", _MENTION.sub(lift, text))).strip(" \n\t.!?。！？")
    return Sketch(text, form, tuple(files), tuple(literals))


def _start_of_name(run: str) -> int:
    latin = re.search(r"[A-Za-z0-9_/-]+\.\w+$", run)
    if latin:
        return latin.start()
    before = _BEFORE_NAME.match(run)
    return before.end() if before else 0
