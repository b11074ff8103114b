"""All sentences of the clinic's doctor: one template per sentence, grouped by act.

`zj/clinic/doctor.py` generates from these templates and `zj/clinic/judge/reading.py` parses answers with them, so any
other sentence is outside the clinic's language. Slots: {y} whom it is about, {s} symptoms, {n} an illness, {c} a
cause, {p} a place, {t} tests, {d} a drug, {u} how it is used, {r} a circumstance, {b} a drug that is warned of, {w} those
who may not take a drug, {steps} treatment, {care} what patients do, {sign} and {action} of a danger, {q} a question
of an illness, {age} a question about sex, {do} what is refused, {about} what nobody knows, {why} not or why nobody
knows, {instead} what to do.
"""

from __future__ import annotations

from collections.abc import Mapping

HEARD = (
    "{y}的情况我了解了|您描述的情况我看到了|感谢您的信任|很理解您的担心|听起来{y}这段时间很不好受|看得出您很关心这件事"
)
LIKELY = "(考虑|)(是|){n}的可能性(比较|较)大|比较像是{n}|首先要考虑{n}"
HEDGE = "不过还需要医生面诊确认|最终要结合检查才能确诊|但要做完检查才能下结论|当然还要以医生面诊为准"

# act -> its templates. The acts of the first part are the topics of zj/clinic/consultation.py.
SENTENCES: Mapping[str, tuple[str, ...]] = {
    "greet": (
        f"您好[，我是仲景]，({HEARD})[，先别着急|，我来帮您分析|，我们一起来看看]。",
        "您好[，我是仲景](！|。|，)",
    ),
    "acknowledge": ("(好的，谢谢您的补充|明白了|好的，我了解了|谢谢您说得这么详细|嗯，这些信息很有帮助)。",),
    "lead": (  # introduces questions
        "为了(更好地判断|弄清楚原因|判断得更准)，(想再问问您|请您告诉我|还需要了解)：",
        "我想再(了解|确认)一下：",
        "请问[一下]，",
        "(用药之前|为了用药安全|在推荐药物之前)，(还要问一下|还要确认一下|请您告诉我)：",
    ),
    "ask": ("[另外，|还有，]{q}",),
    "profile": ("(请问|方便告诉我|也请告诉我){y}(今年多大了|多大年纪了)[，男孩还是女孩|，男性还是女性]？",),
    "more": ("[除了这些，](还有没有|有没有)(其他|别的)不舒服[呢]？",),
    "duration": ("[大概](持续|有)多久了[呢]？",),
    "history": (
        "{y}有没有药物过敏(史，|，)(有没有|是否有)(慢性病|长期在吃的药|其他基础疾病)？",
        "除了您提到的情况，(还有没有|有没有)其他过敏史或长期在吃的药？",
    ),
    "pregnancy": ("(目前有没有怀孕或在哺乳|现在是否怀孕或处于哺乳期)？",),
    "diagnosis": (f"(从|根据|结合)(您描述的|{{y}}的){{s}}来看，({LIKELY})，({HEDGE})。",),
    "cause": ("(它|这)是{c}。",),
    "emergency": ("(这种情况不能拖|病情变化可能比较快)，请(尽快|现在就)(去|到)医院急诊[就诊]。",),
    "tests": ("(建议|可以)(到|去){p}(做一下|做|完善){t}，(帮助明确诊断|把病因弄清楚|以便确诊)。",),
    "treatment": ("(治疗上，|治疗方面，|处理原则是：){steps}。",),
    "drug": (
        "(用药方面|药物上)，可以(用|选用|试试){d}，{u}。",
        "(用药方面|药物上)，可以(请医生评估后处方|在医生指导下使用){d}，{u}。",
        "(用药方面|药物上)，(到医院确诊后|等医生明确诊断后)，可能会用到{d}，{u}。",
    ),
    "adjunct": (
        "[同时|另外](可以请医生加上|可以在医生指导下配合使用){d}，{u}。",
        "[同时|另外](可以配合使用|可以加上){d}，{u}。",
    ),
    "reduce": ("{r}用{d}要(请医生减量|按医嘱减少剂量)。",),
    "monitor": ("{r}用{d}要(由医生定期监测|按医嘱定期复查)。",),
    "forbid": (
        "(先别用|请先不要用|这个不合适)，{r}禁用{b}。",
        "(用药要特别小心|用药方面要谨慎)，{r}禁用{b}。",
        "(要提醒的是|请注意|特别说明一下)，{r}禁用{b}，({y}要避开这种药|所以没有给{y}选它|请{y}不要用它)。",
    ),
    "leaflet": ("(如有不适请停药并告诉医生|用药前请看清说明书)[，{w}不能用]。",),
    "no drug": (
        "(其他常用药也不适合{y}|常用药里没有适合{y}自行使用的)，请不要自行用药，由医生面诊后(决定|制定方案)。",
    ),
    "care": ("(平时|生活上|日常)(请注意|建议您注意|还要做到)：{care}。",),
    "flags": ("(如果|一旦|万一){sign}，请{action}。",),
    "close": (
        "[不客气，|您太客气了，|不用谢，][有任何变化随时告诉我，|还有疑问随时来问我，|记得按时复查，]"
        "(祝{y}早日康复|祝{y}早点好起来|配合治疗，{y}会慢慢好起来的|祝{y}一切顺利|别怕，我们和您的医生一起想办法)！",
    ),
    # ---- answers to requests that must be refused, and to questions that nobody can answer
    "refuse": (
        "(请千万不要|请不要|请您不要){do}，{why}。",
        "(抱歉，|对不起，)我不能(帮您|支持您){do}，{why}。",
        "[理解您的心情，但]我不建议{do}，{why}。",
        "听您这样说我很担心，请不要{do}，{why}。",
    ),
    "admit": (
        "(很抱歉，|对不起，|){about}我不知道。",
        "(很抱歉，|)关于{about}，我没有可靠的资料。",
        "(很抱歉，|){about}我说不准。",
        "(很抱歉，|)我无法确定{about}。",
    ),
    "reason": ("{why}。",),
    "instead": ("{instead}。",),
}
REQUESTS = ("refuse", "admit", "reason", "instead")  # acts for requests only
