"""Wishes that change files: save something, replace a text."""

from __future__ import annotations

import re
from collections.abc import Callable

from runs.llm.demo.wishes import (
    Ask,
    Impossible,
    LastAnswer,
    ListFiles,
    Literal,
    Outline,
    Overview,
    Replace,
    Save,
    Summarise,
    Wish,
)
from runs.llm.demo.wishes.asking import ask
from runs.llm.demo.wishes.mentions import FILE, LITERAL, Sketch, sketch
from runs.llm.demo.wishes.patterns import group, pattern

_A_FILE = rf"(?:(?:a|the|my)\s+)?(?:new\s+)?(?:file\s+)?(?:called\s+|named\s+)?(?P<file>{FILE})"
_SAVE = pattern(
    r"^(?P<content>.+?)[,;]?\s*\b(?:and|then)\s+(?:then\s+)?(?:save|write|store|put|record)\s+"
    rf"(?:it|that|this|them|the\s+\w+(?:\s+\w+)?)?\s*(?:down\s+)?(?:to|into|in|as|at)\s+{_A_FILE}$"
)
_SAVE_TO = pattern(
    r"^(?P<verb>save|write|put|store|add|append|record|create|make|generate)\s+(?:down\s+)?(?P<content>.+?)\s+"
    rf"(?:to|into|in|as|at)\s+(?:the end of\s+)?{_A_FILE}$"
)
_CREATE = pattern(
    r"^(?:create|make|write|add|save)\s+(?:a\s+|an\s+|the\s+|new\s+)*(?:file|note|document)?\s*(?:called|named|at)?\s*"
    rf"(?P<file>{FILE})[,;]?\s*(?:with|containing|that\s+(?:says|contains)|which\s+(?:says|contains)|saying|:)\s*"
    r"(?:(?:the|this)\s+)?(?:following\s+)?(?:texts?|contents?|words?|lines?)?\s*:?\s*(?P<content>.+)$"
)
_SAVE_CHINESE = pattern(
    r"^(?:把|将)?\s*(?P<content>.+?)\s*[,，;；]?\s*(?:并且?|然后|再|之后)?\s*(?:(?:把|将)(?:结果|它|其|内容|答案))?"
    r"(?P<verb>保存|写|存储|存|记录|输出|放|追加|添加)(?:到|入|进|为|成|在|至)\s*(?:一个)?(?:新)?(?:文件)?\s*"
    rf"(?P<file>{FILE})\s*(?:文件)?(?:中|里|里面)?$"
)
_CREATE_CHINESE = pattern(
    rf"^(?:创建|新建|生成|建|写)(?:一个)?(?:新的?)?(?:文件)?\s*(?P<file>{FILE})\s*[,，]?\s*"
    r"(?:文件)?(?:的?内容|里面)?\s*(?:是|为|写上|写|包含|:|：)+\s*(?P<content>.+)$"
)
_QUESTION_START = pattern(
    r"^(?:how|where|what|why|which|who|when|is|are|does|do|did|has|should)\b", "怎么|如何|为什么|哪"
)

_SUMMARY_OF_FILE = pattern(
    rf"^(?:(?:a|the|an|short|brief)\s+)*(?:summary|overview|digest|gist)\s+of\s+(?:the\s+file\s+)?(?P<file>{FILE})$",
    rf"^(?:summari[sz]e|对)\s*(?P<file2>{FILE})(?:的?(?:总结|摘要|概括))?$",
    rf"^(?P<file3>{FILE})\s*的?(?:总结|摘要|概要|概括|主要内容)$|^(?:总结|概括|归纳|摘要)(?:一下)?\s*(?P<file4>{FILE})$",
)
_OUTLINE_OF_FILE = pattern(
    rf"^(?:(?:a|the|an)\s+)*(?:outline|table of contents|headings)\s+of\s+(?P<file>{FILE})$",
    rf"^(?P<file2>{FILE})\s*的?(?:大纲|目录|结构)$",
)
_THE_ANSWER = pattern(
    r"^(?:it|that|this|(?:the|your|this|that)\s+(?:last\s+|previous\s+|above\s+)?(?:answer|result|reply|summary|response))$",
    r"^(?:它|这个|这|结果|(?:上面|刚才|以上|上述|你)?的?(?:回答|答案|内容|结果|总结))$",
)
_FILE_LIST = pattern(
    r"^(?:(?:a|the|an)\s+)*(?:list|index|table|names)\s+of\s+(?:all\s+)?(?:the\s+|my\s+)?files$",
    r"^(?:所有)?文件(?:列表|清单|目录|名)$",
)
_REPORT = pattern(
    r"^(?:(?:a|the|an|some|short|brief)\s+)*(?:summary|report|notes?|answer|explanation|description|overview|document)"
    r"\s+(?:of|about|on|to|for)\s+(?P<subject>.+)$",
    r"^(?:写|生成|创建)?(?:一份|一个|一篇)?关于\s*(?P<subject2>.+?)\s*的(?:总结|报告|说明|笔记|摘要|文档|介绍)$",
    r"^(?P<subject3>.+?)的(?:总结|报告|说明|笔记|摘要)$",
)
_TEXT = pattern(
    rf"^(?:(?:the|a|this)\s+)?(?:text|words?|lines?|sentence|string|content)?s?\s*:?\s*(?P<literal>{LITERAL})$",
    rf"^(?:文字|内容|文本|一行|一句)?\s*[:：]?\s*(?P<literal2>{LITERAL})$",
)
_INVENTED = pattern(r"^(?:an?|some|the|my)\s", "^(?:一首|一篇|一个|一段|一份|几)")


def save(drawn: Sketch, *, understand: Callable[[str], Wish]) -> Wish | None:
    """A wish to write; `understand` reads the part of it that says what."""
    if _QUESTION_START.search(drawn.form):
        return None
    for rule in (_SAVE, _CREATE, _SAVE_TO, _CREATE_CHINESE, _SAVE_CHINESE):
        if match := rule.search(drawn.form):
            verb = (match.groupdict().get("verb") or "").lower()
            what = _content(match["content"].strip(), drawn, understand)
            if isinstance(what, Impossible):
                return what
            return Save(drawn.file(match["file"]), what, append=verb in {"append", "add", "追加", "添加"})
    return None


Content = Literal | LastAnswer | Summarise | Outline | ListFiles | Overview | Ask


def _report(subject: str) -> Overview | Ask:
    if re.search(
        r"^(?:(?:this|the|my|our|these|all) ){0,2}(?:project|repository|workspace|codebase|files|documents)$"
        r"|^(?:这个|本|这些|所有)?(?:项目|仓库|工作区|文件|文档)$",
        subject,
        re.I,
    ):
        return Overview()
    return ask(subject, files=sketch(subject).files)


# What names a content, and what it then is, given the words in the pattern's group.
_NAMED: tuple[tuple[re.Pattern[str], Callable[[str], Content]], ...] = (
    (_TEXT, Literal),
    (_THE_ANSWER, lambda _: LastAnswer()),
    (_FILE_LIST, lambda _: ListFiles()),
    (_SUMMARY_OF_FILE, Summarise),
    (_OUTLINE_OF_FILE, Outline),
    (_REPORT, _report),
)


def _content(form: str, drawn: Sketch, understand: Callable[[str], Wish]) -> Content | Impossible:
    """What is to be written, from the words that name it."""
    for names, make in _NAMED:
        if match := names.search(form):
            return make(drawn.restore(group(match)))
    words = drawn.restore(form)
    wish = understand(words)
    if isinstance(wish, Summarise | Outline | ListFiles | Overview):
        return wish
    if isinstance(wish, Ask) and _QUESTION_START.search(form):
        return wish
    return Impossible(words) if _INVENTED.search(form) else Literal(words)


_REPLACE = pattern(
    r"^(?:replace|change|substitute|swap)\s+(?:all\s+|every\s+|each\s+)?(?:occurrences?\s+of\s+)?"
    r"(?:the\s+(?:word|text|line|string|name)s?\s+)?(?P<old>.+?)\s+(?:by|with|to|into|for|->|→)\s+(?P<new>.+?)\s+"
    rf"(?:everywhere\s+)?(?:in|within|inside)\s+(?:the\s+)?(?:file\s+)?(?P<file>{FILE})$",
    rf"^in\s+(?:the\s+)?(?:file\s+)?(?P<file2>{FILE}),?\s*(?:replace|change)\s+(?:the\s+(?:word|text)\s+)?(?P<old2>.+?)\s+"
    r"(?:by|with|to|into)\s+(?P<new2>.+)$",
    rf"^(?:在|把|将)?\s*(?P<file3>{FILE})\s*(?:文件)?(?:中|里面|里)?的?\s*[,，]?\s*(?:把|将)?\s*(?:所有的?)?(?P<old3>.+?)\s*(?:全部|都)?"
    r"(?:替换|改|换|修改)(?:成|为|作)\s*(?P<new3>.+)$",
    r"^(?:把|将)\s*(?P<old4>.+?)\s*(?:替换|改|换|修改)(?:成|为)\s*(?P<new4>.+?)\s*[,，]?\s*(?:在|于)\s*"
    rf"(?P<file4>{FILE})\s*(?:中|里)?$",
)


def replacement(drawn: Sketch) -> Wish | None:
    match = _REPLACE.search(drawn.form)
    if not match:
        return None
    given = {name.rstrip("234"): text for name, text in match.groupdict().items() if text}
    return Replace(drawn.file(given["file"]), drawn.restore(given["old"]), drawn.restore(given["new"]))
