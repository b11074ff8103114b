"""Draw the line of training as an SVG: its stages, and below them one frozen backbone with its named adapters.

python scripts/draw_line.py --out docs/line.svg
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from zj.cli import run_command

WIDTH, HEIGHT = 1058, 366
BOX, HIGH, STEP = 130, 56, 152  # width and height of a box, from one column to the next; pixels, as all numbers here
LEFT, TOP, BELOW = 8, 16, 104  # of the first column, of the row of stages, of the row of DPO
FILL = {"data": "#fff4d6", "stage": "#dcebff", "adapter": "#dff3e4", "frozen": "#e8e8ec"}
INK, FAINT = "#1f2328", "#57606a"
SANS, MONO = "Helvetica, Arial, sans-serif", "Menlo, Consolas, monospace"

STAGES = (  # kind, name, what stands below it
    ("data", "text", "documents"),
    ("stage", "pre-training", "train_pretrain.py"),
    ("stage", "fine-tuning", "train_sft.py"),
    ("data", "ranked answers", "K to a prompt"),
    ("stage", "reward model", "train_reward.py"),
    ("stage", "PPO", "train_ppo.py"),
    ("stage", "examination", "judge.py"),
)
ADAPTERS = (  # name, two lines about it
    ("policy", "fine-tuning trains it,", "then PPO or DPO does"),
    ("reference", "a frozen copy of the policy", "as PPO or DPO starts"),
    ("reward", "with a scalar head,", "frozen in PPO"),
    ("value", "with a scalar head, starts as", "a copy of reward, PPO trains it"),
)


@dataclass(frozen=True)
class Config:
    out: str = "docs/line.svg"  # picture to write; one that is there is replaced


def main(config: Config) -> None:
    if not config.out.endswith(".svg"):
        raise ValueError(f"--out is {config.out!r}, expected a file that ends with .svg")
    Path(config.out).write_text(picture(), encoding="utf-8")
    print(config.out)


def picture() -> str:
    title = "<title>The stages of the line, on one frozen backbone with named LoRA adapters</title>"
    paper = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
    return "\n".join([head, title, paper, *stages(), *backbone(), "</svg>", ""])


def stages() -> list[str]:
    """The row from text to examination; DPO stands below PPO and takes the ranked answers themselves."""
    parts = [box(column(n), TOP, BOX, HIGH, *stage) for n, stage in enumerate(STAGES)]
    middle = TOP + HIGH / 2
    parts += [arrow((column(n) + BOX, middle), (column(n + 1), middle)) for n in range(len(STAGES) - 1)]
    ranked, dpo, exam, y = column(3) + BOX / 2, column(5), column(6) + BOX / 2, BELOW + HIGH / 2
    parts.append(box(dpo, BELOW, BOX, HIGH, "stage", "DPO", "train_dpo.py"))
    parts.append(arrow((ranked, TOP + HIGH), (ranked, y), (dpo, y)))
    parts.append(arrow((dpo + BOX, y), (exam, y), (exam, TOP + HIGH)))
    return parts


def backbone() -> list[str]:
    """One bar for the weights, and on it a box for each adapter."""
    bar, top = 302, 222
    whole = WIDTH - 2 * LEFT
    parts = [text(LEFT, top - 14, "named LoRA adapters (zj/lora/layer.py)", 15, anchor="start", weight="bold")]
    each = (whole - 3 * 12) / 4
    for n, (name, *lines) in enumerate(ADAPTERS):
        x = LEFT + n * (each + 12)
        parts += [rectangle(x, top, each, bar - top, "adapter"), text(x + each / 2, top + 22, name, 15, weight="bold")]
        parts += [text(x + each / 2, top + 43 + 18 * i, line, 13, FAINT) for i, line in enumerate(lines)]
    parts.append(box(LEFT, bar, whole, HIGH, "frozen", "one frozen backbone, in memory once", "zj/model/llama.py"))
    return parts


def column(number: int) -> float:
    return LEFT + number * STEP


def box(x: float, y: float, width: float, height: float, kind: str, name: str, note: str) -> str:
    font = MONO if note.endswith(".py") else SANS
    lines = [text(x + width / 2, y + 24, name, 14, weight="bold"), text(x + width / 2, y + 43, note, 11, FAINT, font)]
    return "\n".join([rectangle(x, y, width, height, kind), *lines])


def rectangle(x: float, y: float, width: float, height: float, kind: str) -> str:
    where = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"'
    return f'<rect {where} fill="{FILL[kind]}" stroke="{FAINT}"/>'


def text(
    x: float, y: float, words: str, size: int, color: str = INK, font: str = SANS, anchor="middle", weight="normal"
) -> str:
    style = f'font-family="{font}" font-size="{size}" font-weight="{weight}" fill="{color}" text-anchor="{anchor}"'
    return f'<text x="{x:g}" y="{y:g}" {style}>{escape(words)}</text>'


def arrow(*points: tuple[float, float]) -> str:
    """A line through the points with its head at the last one, which it reaches from the left or from below."""
    (x, y), upward = points[-1], points[-1][0] == points[-2][0]
    head = [(x, y), (x - 5, y + 9), (x + 5, y + 9)] if upward else [(x, y), (x - 9, y - 5), (x - 9, y + 5)]
    line = f'<polyline points="{joined(points)}" fill="none" stroke="{INK}" stroke-width="1.5"/>'
    return f'{line}<polygon points="{joined(head)}" fill="{INK}"/>'


def joined(points) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


if __name__ == "__main__":
    run_command(main, Config)
