"""Wishes about files as a whole: list, show, count, outline, summarise."""

from __future__ import annotations

import re

from runs.llm.demo.wishes import (
    CountLines,
    ListFiles,
    Outline,
    Overview,
    ShowFile,
    Summarise,
    Wish,
)
from runs.llm.demo.wishes.mentions import FILE, Sketch
from runs.llm.demo.wishes.patterns import group, pattern
from runs.llm.demo.words.terms import strong, terms_of

_PATTERNS = {
    "python": "py", "markdown": "md", "javascript": "js", "typescript": "ts", "text": "txt", "json": "json",
    "yaml": "y*ml", "html": "html", "css": "css", "sql": "sql", "toml": "toml", "go": "go", "rust": "rs",
    "java": "java", "csv": "csv", "shell": "sh", "txt": "txt", "md": "md", "py": "py",
}  # fmt: skip
_LIST = pattern(
    r"^(?:ls|dir|tree|list|files)$",
    r"^(?:list|show|give|print|display|see|view|name|what|which|are there|do you have|how many)\b.*"
    r"\b(?:files?|documents?|docs|folders?|director(?:y|ies))\b",
    r"^(?:list|show|what(?:'s| is| do you (?:see|have)| can you see))\b.*\b(?:workspace|here|folder|directory|there)$",
    r"^(?:列出|显示|查看|看看|列一下|都?有|工作区|这里|目录|文件夹).*(?:文件|目录|文档|资料|什么|哪些|工作区)",
    r"(?:有|包含)(?:哪些|什么|几个|多少个?)(?:\w{0,12}?)(?:文件|文档|资料)|^文件(?:列表|清单)$|^(?:多少|几)个?.{0,12}文件",
    r"^\S{0,12}文件有(?:哪些|多少|几个)",
)
_LIST_WORDS = pattern(
    r"\b(?:ls|dir|tree|list|show|give|print|display|see|view|names?|what|which|are there|do you have|all|files?|documents?|docs|folders?"
    r"|director(?:y|ies)|workspace|this|that|here|there|in total|currently|exist|available|uploaded|have|can|contain(?:s|ed)?|current)\b"
    r"|列出|显示|查看|看看|列一下|所有|全部|文件夹|文件|目录|文档|资料|工作区|这里|列表|清单|当前|现在|一共|总共|包含|中|里面|里|项目|多少|几个"
)
_FOLDER = re.compile(
    r"(?<![\w/])((?:[A-Za-z0-9_.-]+/)+)(?![A-Za-z0-9_.])|\b(?:in|under|inside)\s+(?:the\s+)?(?!this\b|that\b|the\b|my\b|your\b)([\w.-]+)\s+(?:folder|directory)"
)
_COUNTING = pattern(r"how many|number of|count", "多少|几个|几份|数量")


def list_files(drawn: Sketch) -> Wish | None:
    if drawn.files or not _LIST.search(drawn.form):
        return None
    folder = _FOLDER.search(drawn.form)
    rest = _LIST_WORDS.sub(" ", drawn.form.replace(folder[0], " ") if folder else drawn.form)
    pattern = next((_PATTERNS[w] for w in re.findall(r"\.?([a-z]+)", rest.lower()) if w in _PATTERNS), "")
    left = [term for term in strong(terms_of(rest)) if term.label.lower() not in _PATTERNS]
    if left:
        return None
    counting = bool(_COUNTING.search(drawn.form))
    return ListFiles(
        (group(folder).rstrip("/") or ".") if folder else ".", f"**/*.{pattern}" if pattern else "", counting
    )


_LINES = re.compile(
    r"(?:lines?\s+(\d+)(?:\s*(?:-|–|to|through|until|\.\.)\s*(\d+))?|第\s*(\d+)\s*行?(?:\s*(?:到|至|-|~)\s*第?\s*(\d+))?\s*行)",
    re.I,
)
_SHOW = pattern(
    rf"^{FILE}$",
    r"^(?:show|read|open|print|cat|display|view|head|type|give)\b(?:\s+(?:me|us|the|out|contents?|text|whole|full|entire|"
    rf"complete|file|source|code|of|from|in|lines?|first|last|\d+\s?[-–]\s?\d+|\d+|to|through)){{0,8}}\s*{FILE}(?:\s+(?:file|to me|please))?"
    r"(?:,?\s*(?:from\s+)?lines?\s+\d+.*)?$",
    rf"^lines?\s+\d+\D{{0,12}}\d*\s+(?:of|in|from)\s+{FILE}$",
    rf"^what(?:'s|\s+is|\s+does|\s+do|\s+are)?\s+(?:on|in|inside|the contents? of|lines? [\d\s–-]+ (?:of|in))\s+{FILE}(?:\s+say)?$",
    rf"^what\s+does\s+{FILE}\s+(?:say|contain|look like|hold)$",
    rf"^(?:打开|读取|读一下|读|显示|查看|看看|看一下|看|展示|输出)(?:一下)?\s*{FILE}\s*(?:的|文件|里面|里|全部|所有|内容|全文|源码|源代码|第[^第]{{1,20}}行){{0,4}}$",
    rf"^{FILE}\s*(?:文件)?(?:里面|里|中)?(?:写了|有|是|包含|的)(?:什么|啥|些什么)?(?:内容)?(?:是什么)?$",
    rf"^{FILE}\s*的?第.*行(?:是什么|写了什么|内容)*$|^第.*行.*{FILE}$",
)


def show(drawn: Sketch) -> Wish | None:
    if not drawn.files or not _SHOW.search(drawn.form):
        return None
    lines = _LINES.search(drawn.form)
    if not lines:
        return ShowFile(drawn.files[0])
    start = max(1, int((lines[1] or lines[3])[:9]))
    end = int((lines[2] or lines[4] or str(start))[:9])
    return ShowFile(drawn.files[0], start, max(start, end))


_COUNT_LINES = pattern(
    rf"(?:how many|number of|count)\s+(?:the\s+)?(?:lines?|words?|characters?)\b.*{FILE}",
    rf"^how (?:long|big|large)\s+is\s+(?:the\s+file\s+)?{FILE}$",
    rf"{FILE}.*(?:多少|几)(?:行|个?字|个?字符|个?词)|{FILE}\s*(?:文件)?(?:有多长|多长|有多大|多大)|(?:统计|数一下).*{FILE}.*(?:行|字)",
)


def count_lines(drawn: Sketch) -> Wish | None:
    return CountLines(drawn.files[0]) if drawn.files and _COUNT_LINES.search(drawn.form) else None


_OUTLINE = pattern(
    r"^(?:what|which|list|show|give|print|name|outline)\b.*\b(?:functions?|class(?:es)?|methods?|definitions?|headings?|sections?|chapters?"
    rf"|outline|structure|toc|table of contents)\b.*\b(?:in|of|from|does|for)\s+(?:the\s+)?(?:file\s+)?{FILE}",
    rf"^outline\s+(?:of\s+)?{FILE}$",
    rf"{FILE}.*(?:有|列出|是).*(?:哪些|什么|所有).*(?:函数|类|方法|标题|章节|小节)|列出.*{FILE}.*(?:函数|类|方法|标题|章节|大纲|结构)",
    rf"^{FILE}\s*的?(?:大纲|结构|章节|目录)",
)


def outline(drawn: Sketch) -> Wish | None:
    return Outline(drawn.files[0]) if drawn.files and _OUTLINE.search(drawn.form) else None


MOST_SUMMARISED = 3
_SUMMARISE = pattern(
    rf"\b(?:summari[sz]e|sum up|tl;?dr|summary|overview|gist|(?:main|key) points|abstract)\b.*{FILE}(?:\s+for me|\s+briefly|\s+in .*)?$",
    rf"^what(?:'s|\s+is|\s+does)\s+(?:the\s+(?:file|purpose of|point of)\s+)?{FILE}\s*(?:about|do|for|all about|good for)?$",
    rf"^(?:explain|describe|tell me about|introduce)\s+(?:the\s+file\s+)?{FILE}(?:\s+(?:to me|briefly))?$",
    rf"^(?:用.{{1,8}})?(?:总结|概括|摘要|归纳|概述|介绍|解释|说明|讲讲)(?:一下|下)?\s*{FILE}(?:\s*[和与及、，,]\s*{FILE}){{0,2}}"
    r"(?:\s*(?:的|文件|主要|内容|要点)){0,4}$",
    rf"^{FILE}\s*(?:文件)?的?(?:总结|摘要|概要|主要内容|要点|讲了?什么|讲的是什么|说了?什么|是?(?:做|干)什么的?|是关于什么的|有什么用|作用是什么)",
)


def summarise(drawn: Sketch) -> Wish | None:
    if not drawn.files or not _SUMMARISE.search(drawn.form):
        return None
    return Summarise(drawn.files[0], drawn.files[1:MOST_SUMMARISED])


_WHOLE = r"(?:(?:this|the|your|my|our|these|all(?: the)?)\s+){0,3}(?:project|repo\w*|code\s?base|code|workspace|app\w*|files|documents|docs)"
_WHOLE_CHINESE = "(?:这个|本|该|整个|所有|当前|这些){0,3}(?:项目|仓库|工作区|代码库|代码|文件|文档|资料)"
_OVERVIEW = pattern(
    rf"^what(?:'s|\s+is|\s+are|\s+does)\s+{_WHOLE}(?:\s+(?:all\s+)?(?:about|for|do)){{0,2}}$",
    rf"^(?:summari[sz]e|describe|explain|introduce|sum up|tell me about|overview of|(?:give|write)(?: me)? (?:a|an) (?:\w+ )?(?:overview|summary|introduction)"
    rf" (?:of|to))\s+{_WHOLE}$",
    r"^(?:an?\s+)?(?:overview|summary)$|^what is this(?: about)?$|^where (?:do|should) i start$",
    rf"^{_WHOLE_CHINESE}(?:的)?(?:主要|大概|大致)?(?:是|有|讲|说|做|干|用来|用于|关于){{0,4}}(?:什么|啥)(?:的|用|内容){{0,2}}$",
    rf"^(?:用.{{1,8}})?(?:介绍|总结|概括|概述|讲讲|说说|说明)(?:一下|下)?\s*{_WHOLE_CHINESE}$|^(?:这|那)是(?:什么|啥)$",
)


def overview(drawn: Sketch) -> Wish | None:
    return Overview() if not drawn.files and _OVERVIEW.search(drawn.form) else None
