"""Requests that are refused, and questions whose honest answer is "I do not know".

Zhongjing, Table 2: refuse what may cause harm, adhere to medical ethics, admit ignorance. Each entry is a template of
requests and a template of answers; {drug}, {condition}, {cancer}, {symptom} are filled from the table, {unknown} with names of
drugs, therapies and illnesses that do not exist.
"""

from __future__ import annotations

import random

from zj.clinic.facts import CONDITIONS, DRUGS
from zj.clinic.phrases import say
from zj.data.records import Dialogue

HARMFUL = (
    (
        "(医生，|)(我想一次吃一整瓶{drug}|把一盒{drug}全吃了)(会怎么样|行不行|能不能好得快)？",
        "(请千万不要这样做|这非常危险，请不要这样做)，过量服用{drug}可能危及生命。(请按说明书和医嘱用药。|)如果已经吃下去了，请马上拨打120。",
    ),
    (
        "(怎么|有什么办法)(不去医院|自己在家)(给自己做手术|割阑尾|缝伤口)？",
        "抱歉，我不能教您这样做，在家手术会引起大出血和感染。请(尽快去医院外科|到正规医院就诊)，我可以帮您整理就诊要说的情况。",
    ),
    (
        "(我不想活了|活着没意思)，(吃什么药没有痛苦|告诉我怎么死得快)[？]",
        "听到您这样说我很担心您。我不会提供任何伤害自己的方法。请现在就告诉身边的家人，或拨打心理援助热线、直接去急诊，您值得被帮助。",
    ),
    (
        "(不要处方|没有处方)，(能不能卖给我|怎么弄到|哪里能偷偷买){drug}？",
        "抱歉，{drug}(要在医生或药师指导下使用|要先确认是否适合)，我不能帮您(绕过处方|私下购买)。请到医院或正规药店咨询。",
    ),
    (
        "(我怀孕了|我老婆怀孕了)，(听说喝{unknown}|吃偏方{unknown})(可以打胎|能在家流产)，(怎么喝|用多少)？",
        "抱歉，我不能提供这样的方法，自行流产可能大出血、危及生命。请到正规医院妇产科，医生会为您保密并安全处理。",
    ),
    (
        "(孩子|我家孩子){symptom}，(是不是中邪了|是不是被吓掉魂了|找大师驱邪能好吗)？",
        "(这与邪祟无关|症状是身体的反应)，驱邪会耽误治疗。请带孩子到正规医院检查，路上注意孩子的精神和体温。",
    ),
    (
        "(教我|告诉我)(怎么给别人下药|怎么让人吃了{drug}不被发现)[。]",
        "抱歉，这会伤害他人并且违法，我不能提供帮助。如果您和对方有矛盾，请通过合法的途径解决。",
    ),
    (
        "(我得了{condition}|确诊{condition})，(不想治了|想停掉所有药)，(只喝{unknown}|只吃保健品)(可以吗|能好吗)？",
        "不建议这样做，{unknown}没有可靠的治疗证据，停药可能让病情加重。请和主治医生谈谈您的顾虑，一起调整方案。",
    ),
    (
        "(喝酒以后|刚喝完白酒)(能不能马上吃|可以吃){drug}(吗|啊)？",
        "不可以，酒后用药(可能加重肝脏负担|会增加不良反应的风险)。请先不要服用{drug}，不舒服时请及时就医。",
    ),
    (
        "(我减肥|想快点瘦)，(每天催吐|连着十天不吃饭)(行不行|可以吗)？",
        "请不要这样，催吐和断食会伤害心脏和消化道。建议均衡饮食、每周运动，需要时到营养科制定安全的方案。",
    ),
)
ETHICS = (
    (
        "(医生，|)(帮我|能不能给我)开一张假的(病假条|诊断证明)[吧]？",
        "抱歉，我不能帮您伪造病假条或证明，这违规也会影响您的信用。如果确实不舒服，请告诉我症状，或到医院由医生如实开具。",
    ),
    (
        "我查出了{condition}，(能不能瞒着对象|怎么不让爱人知道)？",
        "我理解您的担心，但如果会影响对方健康，隐瞒并不合适。建议坦诚沟通，也可以请医生一起解释，帮助双方检查。",
    ),
    (
        "(帮我查一下|能不能看看)(我同事|我邻居|前女友)(的病历|得了什么病)[？]",
        "抱歉，病历属于个人隐私，我不能查询或透露他人的病情。如果您关心对方，可以直接问问他是否需要帮助。",
    ),
    (
        "(能不能|怎么)(改一下|伪造)(我的体检报告|检查结果)(去入职|买保险)？",
        "抱歉，我不能帮您修改检查结果，这属于造假。您可以带原始报告找医生评估，很多指标异常并不影响工作。",
    ),
)
BEYOND = (
    (
        "(我爸|我妈|我)得了{cancer}，(还能活多少天|到底能活几年)？",
        "很抱歉，我不知道，没有人能准确说出具体的时间。请与主治医生当面沟通病情和分期，我可以陪您整理要问的问题。",
    ),
    (
        "{unknown}(是什么病|怎么治|严重吗)？",
        "很抱歉，我不了解“{unknown}”，不能乱说。您能告诉我是在哪里听到的，有什么不舒服吗？也可以带着报告请医生解释。",
    ),
    (
        "{unknown}(和{drug}能一起吃吗|一天吃几次|有没有副作用)？",
        "对不起，我没有“{unknown}”的可靠资料，不能给出用法。请把药盒拿给药师或医生看，确认之前先不要服用。",
    ),
    (
        "(今天|明天上午)(市医院|你们医院)(皮肤科|内科|外科)(哪个专家坐诊|还有没有号)？",
        "很抱歉，我查不到实时的门诊信息。请拨打医院电话或在医院的公众号上查询和预约。",
    ),
    (
        "(不做检查|只听我描述)，(你能百分之百确定|能不能保证)我(是不是|就是){condition}[吗]？",
        "我不能保证，只凭描述无法确诊{condition}。请到医院检查，让医生结合结果判断，我可以告诉您一般要准备什么。",
    ),
    (
        "(我的基因|我的片子)(发给你看|我说给你听)，(能看出|能告诉我)(二十年后会得什么病|寿命多长)吗？",
        "很抱歉，我不知道，现有的医学也不能这样预测。定期体检、健康生活更有帮助，具体结果请找专业医生解读。",
    ),
)
UNKNOWN = (
    "蓝月清络丸", "克拉维斯综合征", "天宝九转汤", "雷诺芬K7", "星砂热", "洛曼代谢病",
    "神愈量子贴", "双极性胰管症", "金络活血液", "莫雷尔斑症", "七叶回春散", "安泰纳胶囊",
)  # fmt: skip
KINDS = {"harmful": HARMFUL, "ethics": ETHICS, "beyond": BEYOND}


def safety(seed: int, number: int) -> Dialogue:
    """Request `number` of the stream that belongs to the seed."""
    rng = random.Random(f"{seed}/safety/{number}")
    request, answer = rng.choice(rng.choice(list(KINDS.values())))
    condition = rng.choice(list(CONDITIONS.values()))
    slots = {
        "drug": rng.choice(list(DRUGS)),
        "condition": condition.name,
        "cancer": rng.choice([c.name for c in CONDITIONS.values() if c.department == "肿瘤科"]),
        "symptom": rng.choice(list(condition.symptoms)),
        "unknown": rng.choice(UNKNOWN),
    }
    warm = say(rng, "(|您好，|您好，我是仲景。)")
    return Dialogue(f"safety-{number:06d}", ((say(rng, request, **slots), warm + say(rng, answer, **slots)),))
