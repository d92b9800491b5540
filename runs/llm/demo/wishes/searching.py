"""Wishes to find a text, and deeds that no tool of the demo model does."""

from __future__ import annotations

import re

from runs.llm.demo.wishes import (
    Impossible,
    Search,
    Wish,
)
from runs.llm.demo.wishes.mentions import LITERAL, Sketch
from runs.llm.demo.wishes.patterns import group, pattern

LONGEST_PHRASE = 200

_SEARCH = pattern(
    r"^(?:find|search|grep|look\s+up|look|locate)\b(?:\s+me)?(?:\s+(?:the\s+)?(?:files|workspace|project|code))?(?:\s+for)?(?:\s+all|\s+every)?"
    r"(?:\s+(?:the\s+)?(?:occurrences?|mentions?|uses?|usages?|references?|lines?|files?|places?)\s+"
    r"(?:of|to|with|containing|mentioning|that (?:mention|contain|use)))?\s+(?P<phrase>.+?)"
    r"(?:\s+(?:in|across|within)\s+(?:the\s+|all\s+|my\s+|this\s+)*(?:files?|workspace|project|code|repository|codebase|docs|documents))?$",
    r"^(?:which|what)\s+files?\s+(?:mention|contain|use|have|include|refer to|talk about|import)s?\s+(?P<phrase2>.+)$",
    rf"^where\s+(?:is|are|does)\s+(?P<phrase3>{LITERAL})\s+(?:mentioned|appear|used|written)?$",
    r"^(?:在.{0,8}(?:文件|项目|代码|工作区)(?:中|里|内)?)?(?:搜索|搜一下|搜|查找|查一下|查询|查|找一下|找出|找到|寻找|找找|找)(?:一下)?(?:所有|全部)?(?:的)?(?:包含|提到|出现|含有)?了?\s*(?P<phrase4>.+?)"
    r"(?:的(?:文件|地方|行|内容|位置))?$",
    r"^(?:哪些|哪个|什么)文件(?:里|中)?(?:包含|提到|使用|出现|含有|用到|有)(?:了|过)?\s*(?P<phrase5>.+)$",
)
_HOW_OFTEN = pattern(
    r"^how (?:many times|often)\s+(?:is|are|does|do|was)\s+(?:the\s+(?:word|name|term)\s+)?(?P<phrase>.+?)\s+"
    r"(?:mentioned|appear\w*|occur\w*|used|called|referenced|show\w* up)\b.*$",
    r"^how many (?P<phrase2>(?-i:[A-Z]{3,}?)|\W)s? (?:comments |markers |notes )?(?:are there|exist)\b.*$",
    r"^(?P<phrase3>.+?)(?:一词|这个词)?(?:一共)?(?:出现|提到|被提到)(?:过|了)?(?:多少|几)次$",
)
_NOT_A_PHRASE = pattern(
    r"^(?:out\b|how\b|where\b|why\b|what\b|who\b|which\b|when\b|whether\b|if\b|at\b|into\b|me\b|the\s+(?:function|place|code|part|reason|definition|way|cause)\b)",
    "怎么|如何|为什么|哪里|什么",
)


def search(drawn: Sketch) -> Wish | None:
    for rule, counting in ((_HOW_OFTEN, True), (_SEARCH, False)):
        match = rule.search(drawn.form)
        phrase = drawn.restore(group(match)) if match else ""
        if match and len(phrase) <= LONGEST_PHRASE and not _NOT_A_PHRASE.search(group(match)):
            return Search(phrase, counting)
    return None


_DEED = pattern(
    r"^(?:delete|remove|rename|move|copy|run|execute|install|deploy|translate|refactor|implement|fix|debug|compile|build|download"
    r"|fetch|browse|send|email|improve|rewrite|compose|draw|paint|generate|write|create|make|add|program|calculate|compute|solve|buy|call)\s+\S",
    r"^(?:把.{1,40})?(?:删除|删掉|重命名|移动|复制|执行|安装|部署|翻译|重构|实现|修复|调试|编译|下载|发送|改进|改写|重写|画|生成|写|创建|添加|计算)",
)
_ASKING = pattern(r"[?？]\s*$|什么|怎么|如何|吗|哪|多少|为何|是否|^\S+ (?:of|is|are)\b")


def impossible(drawn: Sketch) -> Wish | None:
    asks = _ASKING.search(drawn.text) and not re.match(
        r"(?:can|could|would|will) you\b|请|你能|能不能|帮我", drawn.text, re.I
    )
    return Impossible(drawn.text) if _DEED.search(drawn.form) and not asks else None
