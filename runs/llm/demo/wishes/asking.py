"""Questions about the files: their form, their terms, and what they take over from the question before."""

from __future__ import annotations

from dataclasses import replace

from runs.llm.demo.wishes import (
    Ask,
    Kind,
)
from runs.llm.demo.wishes.mentions import FILE, sketch
from runs.llm.demo.wishes.patterns import group, pattern
from runs.llm.demo.words.stems import stem
from runs.llm.demo.words.terms import Term, fainter, strong, terms_of

# Verbs that say no more than "where" does.
PLACED = frozenset(
    map(stem, ("define", "definition", "implement", "locate", "declare", "live", "find", "定义", "实现"))
)
LONGEST_FORM = 400  # characters of a question that tell its form
SOUGHT = 0.6  # of the kind of thing a question seeks: its answer names one, not the kind
CARRIED = 0.5  # the weight of a term that comes from the question before


_KINDS = (
    (Kind.WHY, pattern(r"^why\b|\bwhat(?:'s| is) the reason\b|\bhow come\b", "为什么|为何|原因")),
    (Kind.WHERE, pattern(r"\bwhere\b|\b(?:which|what) (?:file|function|module|class|method|place|line)\b", "哪里|哪儿|在哪|何处|哪个(?:文件|函数|模块|类|方法)|什么地方")),
    (
        Kind.TIME,
        pattern(
            r"\bhow (?:long|often|soon|old)\b|^when\b|\bwhen (?:was|is|did|does|do)\b|\bat what time\b",
            r"\bwhat(?:'s| is| are)?\b.*\b(?:timeout|interval|date|year|deadline)\b",
            "多久|多长时间|何时|什么时候|(?:几|多少)(?:天|小时|分钟|秒|个?月|年)|超时是|间隔是",
        ),
    ),
    (
        Kind.NUMBER,
        pattern(
            r"\bhow (?:many|much|large|big|fast|far|high|deep)\b|\bat what\b",
            r"\bwhat(?:'s| is| are)?\b.*\b(?:port|limit|size|version|maximum|minimum|number|price|cost|rate|length|threshold)\b",
            "多少|几[个次人步条分种]|多长|多大|上限|最[多大小长少]|端口是|版本是|默认值",
        ),
    ),
    (Kind.HOWTO, pattern(
        r"\bhow (?:do|can|should|would|could) (?:i|we|you|one|somebody)\b|\bhow to\b|\bsteps\b|\b(?:which|what) commands?\b",
        "(?:怎么|如何|怎样)(?:才能)?(?:安装|启动|运行|使用|配置|部署|开始|添加|创建|设置|测试|备份|升级|写|用|加|连接|登录|开启|关闭|停止)|命令是什么|用什么命令",
    )),
    (Kind.WHAT, pattern(r"^(?:what|who)(?:'s| is| are| was| were)\b|\bdefine\b|\bmeaning of\b|\bwhat does \S+ mean\b", "什么是|是什么|是啥|指什么|什么叫|是谁|的定义|的含义")),
)  # fmt: skip
_REFERS_BACK = pattern(
    r"\b(?:it|its|they|them|their|those|these|he|she|that|this)\b(?!\s+(?:project|repo|workspace|code|file|document|is|are))",
    r"^(?:and|but|so|also|what about|how about|why)\b",
    "它|他们|她|这个|那个|^那|^还有|^为什么$|呢[?？]?$",
)
_SOUGHT = pattern(
    r"^(?:which|what) (?P<name>\w+) (?:is|are|does|do|can|should|has|have|was|were)\b",
    "(?:哪个|哪些|什么)(?P<name2>[^的是了]{2,4}?)(?:是|被|可|能|会|在)",
)
_READS_FILE = pattern(
    rf"^where\s+(?:is|are|does)\s+{FILE}|\b(?:uses?|reads?|imports?|mentions?|calls?|writes?|loads?)\s+{FILE}",
    rf"{FILE}.*(?:在哪|哪里)",
)


def kind_of(text: str) -> Kind:
    beginning = text.strip()[:LONGEST_FORM]
    return next((kind for kind, form in _KINDS if form.search(beginning)), Kind.HOW)


def ask(text: str, *, files: tuple[str, ...] = (), earlier_question: str = "") -> Ask:
    terms = terms_of(text)
    drawn = sketch(text)
    if files and not _READS_FILE.search(drawn.form):
        terms = [replace(term, weight=0.4) if term.label in drawn.files else term for term in terms]
    else:
        files = ()
    kind = kind_of(text)
    if sought := _SOUGHT.search(drawn.form):
        name = group(sought).lower()
        terms = [fainter(term, SOUGHT) if term.label.lower() == name else term for term in terms]
    if kind is Kind.WHERE:
        terms = [term for term in terms if stem(term.label.lower()) not in PLACED] or terms
    if earlier_question and (len(strong(terms)) < 2 or _REFERS_BACK.search(text.strip())):
        terms = _carry_over(terms, terms_of(earlier_question))
    return Ask(text, kind, tuple(terms), files)


def _carry_over(terms: list[Term], earlier: list[Term]) -> list[Term]:
    known = {term.forms for term in terms}
    return terms + [fainter(term, CARRIED) for term in strong(earlier) if term.forms not in known]
