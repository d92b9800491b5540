"""The demo model's own words, in both its languages. What it quotes stays as it was written."""

from __future__ import annotations

LONGEST_INLINE = 160

PHRASES: dict[str, tuple[str, str]] = {
    "label": (
        "Demo model: it quotes, it does not reason. With an API key, a real model answers here.",
        "演示模型：只引用原文，不做推理。配置 API 密钥后，将由真正的模型回答。",
    ),
    "greeting": ("Hello! {help}", "你好！{help}"),
    "thanks": ("You're welcome. Ask me anything else about your files.", "不客气。还可以继续问我关于文件的问题。"),
    "help": (
        (
            "I answer questions about the files in this workspace and about what is remembered, with quotations and their sources, and I can write to them. Try:\n\n"
            "- *What files are there?* · *What is this project about?*\n"
            "- *How does …?* · *Where is … defined?* · *Why …?* · *What is the default port?*\n"
            "- *Summarise README.md* · *Show lines 10–30 of settings.py* · *Which functions are in engine.py?*\n"
            "- *Find TODO* · *How many lines does README.md have?*\n"
            "- *Remember that the deployment window is Tuesday* · *When is the deployment window?*\n"
            '- *Save a summary of README.md to notes/summary.md* · *Replace "colour" with "color" in style.css*\n\n'
            "Every search, reading and change goes through the agent's ordinary tools, so you can watch each step in the trace."
        ),
        (
            "我可以回答关于工作区文件和记忆的问题（附原文引用和出处），也可以写入和修改文件。试试：\n\n"
            "- *有哪些文件？* · *这个项目是做什么的？*\n"
            "- *……是怎么工作的？* · *……在哪里定义？* · *为什么……？* · *默认端口是多少？*\n"
            "- *总结 README.md* · *显示 settings.py 第10到30行* · *engine.py 有哪些函数？*\n"
            "- *查找 TODO* · *README.md 有多少行？*\n"
            "- *记住部署窗口是周二* · *部署窗口是什么时候？*\n"
            '- *把 README.md 的总结保存到 notes/summary.md* · *把 style.css 中的 "colour" 替换成 "color"*\n\n'
            "每次搜索、读取和修改都通过智能体的普通工具完成，在轨迹页面可以看到每一步。"
        ),
    ),
    "impossible": (
        "I can't do that: as the demo model I have no tool for it and I don't invent text or code. {help}",
        "这件事我做不到：我是演示模型，没有相应的工具，也不会自己编写文字或代码。{help}",
    ),
    "no_tools": (
        "No tool that I need for this is offered to me in this run ({tools}), so I can't look at any file.",
        "这次运行没有提供我需要的工具（{tools}），所以我无法查看文件。",
    ),
    "say_search": ("I look for {terms} in the files.", "我在文件中查找 {terms}。"),
    "say_search_both": (
        "I look for {terms} in the files and in what is remembered.",
        "我在文件和记忆中查找 {terms}。",
    ),
    "say_recall": ("I look at what is remembered.", "我看看记得什么。"),
    "say_remember": ("I remember that.", "我来记住。"),
    "remembered": (
        "Remembered: {text} ({source}). Ask me about it in any later conversation.",
        "已记住：{text}（{source}）。以后在任何对话里都可以问我。",
    ),
    "not_remembered": ("I could not remember that: {error}", "无法记住：{error}"),
    "say_refine": ("Little so far; I also look for related words.", "结果不多，再查一下相关的词。"),
    "say_read": ("I read the closest passages: {paths}.", "我来读最相关的段落：{paths}。"),
    "say_list": ("I look at what files there are.", "我看看有哪些文件。"),
    "say_open": ("I read {path}.", "我来读 {path}。"),
    "say_look": ("I look whether {path} is there already.", "我看看 {path} 是否已经存在。"),
    "say_write": ("I write {path}.", "我来写入 {path}。"),
    "say_edit": ("I change {path}.", "我来修改 {path}。"),
    "in": ("in {where}", "在 {where} 中"),
    "where": ("In {where}: {text}", "在 {where}：{text}"),
    "closest": (
        "I found no passage that answers this outright. The closest one says:",
        "没有找到直接回答这个问题的内容。最接近的是：",
    ),
    "quotes": ("**From the files**", "**原文**"),
    "quotes_of_memory": ("**From memory**", "**记忆原文**"),
    "quotes_of_both": ("**From the files and from memory**", "**文件和记忆原文**"),
    "searched": ("Searched {files} for {terms}.", "在 {files}中查找了 {terms}。"),
    "searched_plain": ("Searched for {terms}.", "查找了 {terms}。"),
    "missing": ("Not mentioned anywhere: {terms}.", "没有任何文件提到：{terms}。"),
    "cut_search": ("Some searches found more than they returned.", "部分搜索的结果超出了返回上限。"),
    "named_file": (
        "No passage answers this in your words. What {path} says, section by section:",
        "没有找到与提问措辞相符的段落。{path} 各部分的内容是：",
    ),
    "nothing": (
        "I found nothing about {terms} in the files of this workspace.",
        "在工作区的文件中没有找到与 {terms} 有关的内容。",
    ),
    "search_failed": ("The search failed: {error}", "搜索失败：{error}"),
    "no_files": (
        (
            "The workspace has no files yet. Put some into this project's workspace, or let me write one: "
            '*write "hello" to notes/first.md*.'
        ),
        '工作区里还没有文件。可以把文件放进这个项目的工作区，或者让我写一个：*把 "你好" 写入 notes/first.md*。',
    ),
    "there_is": ("These files are there:", "现有的文件："),
    "add_files": (
        "To ask about others, put them into this project's workspace.",
        "想问其他文件，请先把它们放进这个项目的工作区。",
    ),
    "no_terms": (
        "I see no word in this that I could look for in the files. {help}",
        "这句话里没有可以在文件中查找的词。{help}",
    ),
    "one_file": ("1 file", "1 个文件"),
    "many_files": ("{count} files", "{count} 个文件"),
    "at_least": ("at least {count}", "至少 {count}"),
    "listing": ("There are {files}{where}.", "{where}共有 {files}。"),
    "listing_one": ("There is {files}{where}.", "{where}共有 {files}。"),
    "listing_in": (" in `{folder}`", "`{folder}` 中"),
    "more": ("… and {count} more", "……还有 {count} 个"),
    "more_files": ("… and in {files} more.", "……另外还有 {files}。"),
    "more_than_listed": ("There are more than the tool lists.", "文件数量超出了工具一次列出的上限。"),
    "lines_count": (
        "`{path}` has **{lines} lines**, {words} words and {characters} characters.",
        "`{path}` 共有 **{lines} 行**，{words} 个词，{characters} 个字符。",
    ),
    "lines_only": ("`{path}` has **{lines} lines**.", "`{path}` 共有 **{lines} 行**。"),
    "shown": ("`{path}`, lines {start}–{end} of {total}:", "`{path}` 第 {start}–{end} 行，共 {total} 行："),
    "empty_file": ("`{path}` is empty.", "`{path}` 是空文件。"),
    "past_end": ("`{path}` has only {total} lines.", "`{path}` 只有 {total} 行。"),
    "show_rest": ("To go on: *show lines {start}–{end} of {path}*.", "继续查看：*显示 {path} 第 {start}到{end}行*。"),
    "no_such_file": ("I can't read `{path}`: {error}", "无法读取 `{path}`：{error}"),
    "not_there": ("there is no such file", "没有这个文件"),
    "did_you_mean": ("Did you mean {paths}?", "你是不是要找 {paths}？"),
    "summary": ("**`{path}`** ({lines} lines), in its own words:", "**`{path}`**（{lines} 行）的内容摘录："),
    "summary_part": ("Only the first {end} of {total} lines were read.", "只读取了前 {end} 行，共 {total} 行。"),
    "no_summary": ("It has nothing that reads like a sentence. It begins:", "其中没有可以摘录的句子。开头是："),
    "outline": ("`{path}` defines or is divided into:", "`{path}` 的结构："),
    "no_outline": ("I see no headings or definitions in `{path}`.", "`{path}` 里没有标题或定义。"),
    "extracted": ("Sentences taken from the file as they stand.", "句子摘自原文，未作改写。"),
    "others": ("Some of the others:", "其他一些文件："),
    "found": ("`{phrase}` stands on **{lines}** in {files}.", "`{phrase}` 出现在 {files}的 **{lines}** 中。"),
    "one_line": ("1 line", "1 行"),
    "many_lines": ("{count} lines", "{count} 行"),
    "not_found": ("`{phrase}` stands nowhere ({files} searched).", "在 {files}中都没有找到 `{phrase}`。"),
    "not_found_plain": ("`{phrase}` stands in none of the files.", "没有任何文件包含 `{phrase}`。"),
    "wrote": ("Done: `{path}` is written ({lines}).", "完成：已写入 `{path}`（{lines}）。"),
    "appended": ("Done: added to the end of `{path}` ({lines}).", "完成：已追加到 `{path}` 末尾（{lines}）。"),
    "more_lines": ("… and {lines} more", "……还有 {lines}"),
    "not_written": ("I could not write `{path}`: {error}", "无法写入 `{path}`：{error}"),
    "part_only": (
        "I can't read all of `{path}` in one go, so I leave it as it is.",
        "无法一次读完 `{path}`，所以没有改动它。",
    ),
    "no_answer_yet": ("There is no earlier answer to save.", "前面还没有可以保存的回答。"),
    "nothing_to_save": ("I found nothing to save, so I wrote nothing.", "没有找到可以保存的内容，所以没有写入。"),
    "replaced": (
        "Done: replaced `{old}` by `{new}` in `{path}` ({count}).",
        "完成：已在 `{path}` 中把 `{old}` 替换成 `{new}`（{count}）。",
    ),
    "one_place": ("1 place", "1 处"),
    "many_places": ("{count} places", "{count} 处"),
    "old_absent": (
        '`{old}` does not stand in `{path}`, so I changed nothing. Put the exact text in quotes: *replace "old" with "new" in {path}*.',
        '`{path}` 里没有 `{old}`，所以没有改动。请用引号写出原文：*把 {path} 中的 "旧" 替换成 "新"*。',
    ),
    "same_text": ("The old and the new text are the same: nothing to change.", "新旧内容相同，不需要修改。"),
    "tool_missing": ("The tool `{tool}` is not offered in this run.", "这次运行没有提供工具 `{tool}`。"),
    "team_found": ("What I found:", "我找到的内容："),
    "team_nothing": (
        "I found nothing with a source that answers this.",
        "没有找到能回答这个问题且有出处的内容。",
    ),
    "team_done_already": (
        "Another member has done this; I have nothing to add.",
        "其他成员已经完成，我没有要补充的。",
    ),
    "team_checked": ("I opened the sources. These sentences stand there:", "我打开了出处，以下句子确实在那里："),
    "team_not_confirmed": ("These I could not confirm:", "以下内容无法确认："),
    "team_doubtful": ("Not found where it is said to stand: {sources}", "在所说的出处没有找到：{sources}"),
    "team_propose": ("Answer with this: {text}", "建议这样回答：{text}"),
    "team_title": ("Answer with what the source says", "按出处回答"),
    "team_ask": (
        "No source is named so far. Look once more, in the files and in what is remembered, and name where it stands.",
        "目前还没有给出出处。请在文件和记忆中再找一次，并注明出处。",
    ),
    "team_sent_back": (
        "I can't decide without a source: I asked {name} to look once more.",
        "没有出处无法决定：已请 {name} 再找一次。",
    ),
    "team_undecided": (
        "We found nothing in the files or in memory that answers this, so there is nothing to decide on.",
        "在文件和记忆中都没有找到答案，因此无法作出决定。",
    ),
    "team_no_evidence": ("No member could name a source.", "没有成员能给出出处。"),
    "team_rationale": (
        "It rests on what {names} found: {evidence}.",
        "依据 {names} 的发现：{evidence}。",
    ),
    "team_one_piece": ("one piece of evidence on the board", "黑板上的 1 条证据"),
    "team_pieces": ("{count} pieces of evidence on the board", "黑板上的 {count} 条证据"),
    "team_next": ("Add a file or a memory that answers it, and ask again", "补充能回答它的文件或记忆，然后再问一次"),
    "team_say_check": ("I open the sources that were named.", "我来打开提到的出处。"),
    "team_say_post": ("I tell the team.", "我告诉团队。"),
    "team_say_ask": ("I ask {name} to look once more.", "我请 {name} 再找一次。"),
    "team_say_board": ("I look at the team's board.", "我来看团队的黑板。"),
    "team_say_decide": ("I put down the decision.", "我来记录决定。"),
    "made_by": ("Collected by the demo model from the workspace's files.", "由演示模型从工作区文件中摘录。"),
}


class Voice:
    """Says a phrase in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._index = 1 if language == "zh" else 0
        self.comma = "、" if language == "zh" else ", "
        self.space = "" if language == "zh" else " "

    def say(self, key: str, **values: object) -> str:
        phrase = PHRASES[key][self._index]
        if "{help}" in phrase:
            values["help"] = PHRASES["help"][self._index]
        return phrase.format(
            **{key: _inline(value) if f"`{{{key}}}`" in phrase else value for key, value in values.items()}
        )

    def count(self, number: int, *, one: str, many: str) -> str:
        return self.say(one) if number == 1 else self.say(many, count=f"{number:,}")

    def files(self, number: int) -> str:
        return self.count(number, one="one_file", many="many_files")

    def lines(self, number: int) -> str:
        return self.count(number, one="one_line", many="many_lines")

    def names(self, names: list[str], *, most: int = 8) -> str:
        """`a`, `b`, … in code marks, so that nothing in a name is read as Markdown."""
        shown = [code(name) for name in names[:most]]
        return self.comma.join(shown) + (" …" if len(names) > most else "")


def _inline(value: object) -> str:
    """Fit to stand between two backticks."""
    text = " ".join(str(value).replace("`", "'").split())
    return text if len(text) <= LONGEST_INLINE else text[:LONGEST_INLINE] + "…"


def code(text: str) -> str:
    """Inline code, whatever backticks the text holds."""
    text = " ".join(text.split())
    if "`" not in text:
        return f"`{text}`"
    return f"`` {text} ``" if "``" not in text else f"```` {text} ````"
