"""What a doctor's free text asks a patient, by words in common with the case."""

from __future__ import annotations

import re

from zj.clinic.case import Case

# Topics for any patient -> regular expression of a doctor's question.
ABOUT = {
    "profile": "多大|年龄|年纪|几岁|岁数|性别|男性还是女性|男孩还是女孩|男的还是女的|哪年出生",
    "history": "过敏史|药物过敏|药过敏|对.{0,6}过敏|有没有过敏|过敏吗|怀孕|孕期|哺乳|备孕|慢性病|基础(疾病|病)|基础性疾病|"
    "(其他|别的|什么)(疾病|病史|病)|长期.{0,4}药|在(吃|用|服).{0,4}药|肝肾|既往|得过什么病",
    "duration": "多久|多长时间|几天了|多少天|什么时候(开始|出现|起)|从何时|持续了",
    "more": "(其他|别的|伴随|伴有|还有).{0,6}(不舒服|症状|不适|表现)|哪里不舒服|哪儿不舒服|(什么|哪些)(症状|不舒服|不适)|"
    "具体(症状|情况|表现)|(描述|说)(一下|说).{0,6}(症状|情况)",
}
_QUESTION = re.compile("[？?]$|请您?(详细|具体)?(告诉我|描述|说说)|想再?(问|了解|确认)|[吗呢]。?$")
_POLITE = re.compile("(好吗|可以吗|行吗|好不好|明白吗|清楚吗|帮您|疑问|问题)[？?]?$")
_EMPTY = re.compile(
    "有没有|是不是|会不会|能不能|是否|有无|平时|以前|最近|现在|目前|请问|请您|告诉我|另外|还有|或者|还是|以及|怎么样|怎么|什么|"
    "多少|大概|一般|情况|时候|一下|想再|为了|更好地判断|"
    "弄清楚原因|判断得更准|还需要了解|确认|不舒服|症状|持续|多久|多长|几天|开始|您|你|我|孩子|患者|吗|呢|的|地|得|有|和|也|都|[^\\w]"
)
_SAME = {"发烧": "发热", "抽烟": "吸烟", "家里人": "家人", "父母": "家人", "肚子": "腹部", "小便": "尿", "大夫": "医生"}


def topics_asked(case: Case, text: str) -> list[str]:
    """What the text asks: questions of the case (as in the table), names of its symptoms, topics.

    Topics are the keys of ABOUT, and "unknown" for a question that the case does not answer.
    """
    topics: list[str] = []
    for question in case.answers:
        if question.rstrip("？") in text:
            topics.append(question)
            text = re.sub(re.escape(question.rstrip("？")) + "[？?]?", "。", text)
    for sentence in re.findall("[^。！？?!\n]+[。！？?!]?", text):
        if _QUESTION.search(sentence.strip()) and not _POLITE.search(sentence.strip()):
            topics += _topics_in(case, sentence)
    return list(dict.fromkeys(topics))


def _topics_in(case: Case, sentence: str) -> list[str]:
    """What one sentence asks. A paraphrase shares at least two character bigrams, and half of the shorter text's."""
    words = _pairs(sentence)
    question_pairs = {question: _pairs(question) for question in case.answers}
    likeness = {
        question: len(words & question_pairs[question]) / max(1, min(len(words), len(question_pairs[question])))
        for question in question_pairs
    }
    closest = max(likeness, key=lambda question: likeness[question])
    paraphrased = likeness[closest] >= 0.5 and len(words & question_pairs[closest]) >= 2
    if paraphrased:
        sentence = "，".join(
            part for part in re.split("[，、：,]", sentence) if not _pairs(part) & question_pairs[closest]
        )
    topics = [topic for topic, pattern in ABOUT.items() if re.search(pattern, sentence)]
    if paraphrased or topics:
        return [closest] * paraphrased + topics
    if symptoms := [name for name, phrase in case.symptoms.items() if _means(words, name, phrase)]:
        return symptoms
    if likeness[closest] == 1:
        return [closest]
    return ["unknown"] if words and sentence.rstrip()[-1] in "？?" else []


def _means(words: set[str], name: str, phrase: str) -> bool:
    return bool(words & _pairs(name)) or len(words & _pairs(phrase)) >= 2


def _pairs(text: str) -> set[str]:
    """Character bigrams, without words common to all questions."""
    for word, same in _SAME.items():
        text = text.replace(word, same)
    text = re.sub("过(?!敏)|[了着]", "", text)  # 喝过酒 and 喝酒 are the same
    return {part[at : at + 2] for part in _EMPTY.sub(" ", text).split() for at in range(len(part) - 1)}
