"""Judges comments as a forge would show them: by GitHub's own renderer of Markdown, and by a sanitiser.

Reads JSON lines from standard input, each with `markdown`, `limit` and the `secrets` that must not stand in it; writes
what is wrong, and ends with 1 where anything is.
"""

import json
import re
import sys
from html.parser import HTMLParser

import cmarkgfm
import nh3
from cmarkgfm.cmark import Options

ALLOWED = {
    "h2", "h3", "p", "ul", "li", "strong", "code", "pre", "details", "summary", "hr", "br",
    "table", "thead", "tbody", "tr", "th", "td",
}
ATTRIBUTES = {("pre", "lang"), ("td", "align"), ("th", "align"), ("code", "class")}
VOID = {"hr", "br"}
# What forges make links or notices of, outside of code.
LIVE = re.compile(
    r"@\w|#\d|![0-9]|\bGH-\d|\b[0-9a-f]{7,}\b|://|www\.|\w@\w|\b[A-Z]{2,}-\d|:[a-z_]+:|\$\d|~\w|&\w"
)
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
MARKER = re.compile(r"<!-- fairlead:(report|drift) cluster=[A-Za-z0-9._%-]* environments=[A-Za-z0-9._%,-]* -->")


class Page(HTMLParser):
    """The elements of a page, and the text that is not code."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.text, self.comments, self.wrong = [], [], [], []
        self.counts = {}

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in ALLOWED:
            self.wrong.append(f"the element {tag}")
        for name, _ in attributes:
            if (tag, name) not in ATTRIBUTES:
                self.wrong.append(f"the attribute {name} of {tag}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open[-1] != tag:
            self.wrong.append(f"{tag} ends within {self.open[-3:]}")
        else:
            self.open.pop()

    def handle_comment(self, comment):
        self.comments.append(comment)

    def handle_data(self, data):
        if not {"code", "pre"} & set(self.open):
            self.text.append(data)


def judge(case):
    text, wrong = case["markdown"], []
    if len(text) > case["limit"]:
        wrong.append(f"{len(text)} characters, and the limit is {case['limit']}")
    wrong += [f"a secret: {secret}" for secret in case["secrets"] if secret in text]
    if UNSEEN.search(text):
        wrong.append(f"an unseen character at {UNSEEN.search(text).start()}")
    lines = text.split("\n")
    if not MARKER.fullmatch(lines[0]) or text.count("<!--") != 1:
        wrong.append("the marker is not the first line, and the only comment")
    html = cmarkgfm.github_flavored_markdown_to_html(text, options=Options.CMARK_OPT_UNSAFE)
    page = Page()
    page.feed(html)
    page.close()
    wrong += page.wrong
    if page.open:
        wrong.append(f"never closed: {page.open}")
    if len(page.comments) != 1:
        wrong.append(f"{len(page.comments)} comments")
    live = LIVE.search("\n".join(page.text))
    if live:
        wrong.append(f"something live: {live.group()!r}")
    # What is ours begins a line; in code it never does, for there each line has a sign before it.
    for tag in ("details", "summary"):
        ours = sum(line.startswith("<details><summary>") for line in lines)
        if page.counts.get(tag, 0) != ours:
            wrong.append(f"{page.counts.get(tag, 0)} {tag}, and {ours} are ours")
    headings = sum(line.startswith("### ") for line in lines)
    if page.counts.get("h3", 0) != headings or page.counts.get("h2", 0) != 1:
        wrong.append(f"{page.counts.get('h3', 0)} headings, and {headings} are ours")
    # A sanitiser that knows no more than these has nothing to take away.
    body = html.split("-->", 1)[1]
    attributes = {}
    for tag, name in ATTRIBUTES:
        attributes.setdefault(tag, set()).add(name)
    clean = nh3.clean(body, tags=ALLOWED, attributes=attributes)
    before, after = Page(), Page()
    before.feed(body)
    after.feed(clean)
    if before.counts != after.counts and {**before.counts, "tbody": 0} != {**after.counts, "tbody": 0}:
        wrong.append("a sanitiser takes something away")
    return wrong


def main():
    count, failed = 0, 0
    for line in sys.stdin.buffer:
        case = json.loads(line.decode("utf-8"))
        count += 1
        wrong = judge(case)
        if wrong:
            failed += 1
            if failed <= 5:
                print(f"case {count}: {'; '.join(wrong[:6])}\n{case['markdown'][:6000]}\n", file=sys.stderr)
    print(json.dumps({"cases": count, "failed": failed}))
    sys.exit(1 if failed or not count else 0)


main()
