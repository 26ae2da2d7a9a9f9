"""Horizontal bars as SVG: a row for each mover of each case, its median as the bar, its range as a line over it."""

from html import escape

from .summary import is_own

WIDTH = 720
LABELS = 190
ROW = 18
HEAD = 40
NUMBERS = 90
OURS = "#1b6ca8"
THEIRS = "#a9b4bd"
STYLE = ("text{font:12px sans-serif;fill:#222}.case{font-weight:bold}.title{font-size:14px;font-weight:bold}"
         "@media(prefers-color-scheme:dark){text{fill:#ddd}.range{stroke:#ddd}}")


def bars(title, unit, groups, show):
    """`groups` is [(case, [(mover, lowest, median, highest) or (mover, None, None, None)])]; `show` writes a value."""
    largest = max((row[3] for _, rows in groups for row in rows if row[3] is not None), default=0) or 1
    scale = (WIDTH - LABELS - NUMBERS) / largest
    parts = [f'<text class="title" x="8" y="20">{escape(title)} ({escape(unit)})</text>']
    top = HEAD
    for case, rows in groups:
        parts.append(f'<text class="case" x="8" y="{top + 13}">{escape(case)}</text>')
        top += ROW
        for row in rows:
            parts += draw_row(row, top, scale, show)
            top += ROW
        top += ROW // 2
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}">\n'
            f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n")


def draw_row(row, top, scale, show):
    mover, lowest, median, highest = row
    yield f'<text x="20" y="{top + 13}">{escape(mover)}</text>'
    if median is None:
        yield f'<text x="{LABELS}" y="{top + 13}">failed</text>'
        return
    color = OURS if is_own(mover) else THEIRS
    middle = top + ROW / 2
    left, right = LABELS + lowest * scale, LABELS + highest * scale
    yield f'<rect x="{LABELS}" y="{top + 3}" width="{median * scale:.1f}" height="{ROW - 6}" fill="{color}"/>'
    yield f'<path class="range" d="M{left:.1f} {middle}H{right:.1f}" stroke="#222" stroke-width="1.5"/>'
    yield f'<text x="{right + 6:.1f}" y="{top + 13}">{escape(show(median))}</text>'
