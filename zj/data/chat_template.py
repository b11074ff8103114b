"""A prompt format as the Jinja template of other programs: it renders messages to a text whose ids are those of
`zj.data.template.encode_prompt`."""

from __future__ import annotations

import json

from zj.data.prompt_formats import Template


def chat_template(style: Template, begins: bool = True, spaced: bool = True) -> str:
    """`begins`: the tokenizer has a BOS. `spaced`: it puts a space before every text, as SentencePiece does; here an
    answer is a text of its own, so where it follows a text, that space is in the rendered text.

    Other programs make special tokens of marks in a user's message; no template can prevent that.
    """
    place = next(place for place, part in enumerate(style.ask) if "{user}" in part)
    before, after = "".join(style.ask[: place + 1]).split("{user}")
    mark = "".join(style.ask[place + 1 :])  # of the doctor's turn
    if not mark:  # question and mark are one text
        after, mark = "", after
    mark_is_text = (style.before_last or style.ask)[-1] not in style.specials
    answer_before, answer_after = style.answer.split("{answer}")
    space = " " if spaced and mark_is_text else ""
    answer = f"{_quoted(space + answer_before)} + message['content'] + {_quoted(answer_after)}"
    last = _quoted("".join(style.before_last))
    system = " + ".join(map(_quoted, "".join(style.system).split("{system}"))).replace(" + ", " + system + ")
    end = _quoted(style.end) if style.end else "eos_token"
    user = f"{_quoted(before)} + message['content'] + {_quoted(after)}"
    if style.system_in_user:
        first = f"{{{{ {_quoted(before)} + ({system} if system else '') + message['content'] + {_quoted(after)} }}}}"
    else:
        first = f"{{% if system %}}{{{{ {system} }}}}{{% endif %}}{{{{ {user} }}}}"
    return (
        ("{{ bos_token }}" if begins else "") + "{% if messages[0]['role'] == 'system' %}"
        "{% set system = messages[0]['content'] %}{% set turns = messages[1:] %}"
        "{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
        f"{{% set system = system or {_quoted(style.default_system)} %}}"
        "{% for message in turns %}"
        "{% if message['role'] != ['user', 'assistant'][loop.index0 % 2] %}"
        "{{ raise_exception('expected user and assistant in turns, after at most one system message') }}{% endif %}"
        "{% if message['role'] == 'user' %}"
        f"{{% if loop.first %}}{first}{{% else %}}{{{{ {_quoted(''.join(style.between))} + {user} }}}}{{% endif %}}"
        "{% else %}"
        f"{{{{ {_quoted(mark)} }}}}{{% if loop.last %}}{{{{ {last} }}}}{{% endif %}}"
        + (f"{{{{ {answer} }}}}" if answer_after else f"{{% if message['content'] %}}{{{{ {answer} }}}}{{% endif %}}")
        + f"{{{{ {end} }}}}"
        "{% endif %}{% endfor %}"
        f"{{% if add_generation_prompt %}}{{{{ {_quoted(mark)} + {last} }}}}{{% endif %}}"
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a string of JSON is one of Jinja
