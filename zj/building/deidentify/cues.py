"""The words around names: what stands before them, behind them, or instead of them."""

from __future__ import annotations

import re

from .characters import AMBIGUOUS, DOUBLE, FREQUENT, GIVEN, USUAL
from .spans import any_of

SPACE = r"[ \t\u3000]"
OPEN = r"[：:（( \"“「]?"
ROLES = any_of(
    "患者 病人 患儿 产妇 母亲 父亲 家属 家长 联系人 监护人 陪护 配偶 本人 申请人 就诊人 受检者 受检人 委托人 代理人 收货人 收件人 寄件人 开户人 "
    "持卡人 紧急联系人 户主"
)
DUTIES = any_of(
    "主管 主治 经治 管床 住院 主任 副主任 接诊 首诊 责任 值班 上级 会诊 检查 检验 报告 审核 审查 复核 书写 诊断 麻醉 手术 送检 申请 开单 门诊 坐诊 签约 "
    "带教 进修 规培 实习"
)
WORKERS = any_of(
    "紧急联系人 联系人 监护人 陪护人 就诊人 受检者 受检人 委托人 代理人 收货人 收件人 寄件人 持卡人 户名 曾用名 记录者 记录人 书写者 报告者 报告人 "
    "审核者 审核人 检查者 检验者 复核者 操作者 术者 主刀 助手 一助 二助 麻醉者 病史陈述者 陈述者 供史者 代诉人 录入人 经办人 受访者 咨询者 咨询人 护士长 "
    "药师 技师 户主"
)
NAMED = rf"{ROLES}?(?:姓{SPACE}*名|名{SPACE}*字|签名|签字)(?:[(（][^)）\n]{{0,6}}[)）])?"
SIGNED = rf"{DUTIES}(?:医师|医生|护士)(?:签名|签字|姓名)?|医师|(?:医生|大夫|护士|药师|技师)(?:签名|签字|姓名)"
FIELD = rf"(?P<own>{NAMED}(?:{SPACE}?[:：]{SPACE}*|{SPACE}{{1,3}}))|(?:{SIGNED}|{WORKERS}){SPACE}?[:：/]{SPACE}*"
RELATIVES = any_of(
    "孩子 宝宝 儿子 女儿 小孩 老公 老婆 爱人 妈妈 爸爸 父亲 母亲 妻子 丈夫 朋友 闺女 孙子 孙女 外孙 外孙女 奶奶 爷爷 姥姥 外婆 外公 哥哥 姐姐 弟弟 "
    "妹妹 同事 邻居 同学 室友 侄子 侄女 叔叔 阿姨 伯伯 伯母 婶婶 舅妈 姨妈 嫂子 姐夫 妹夫 表哥 表姐 表弟 表妹 堂哥 堂弟 亲戚 老伴 姑姑 舅舅 婆婆 公公 岳父 岳母"
)
CALLED = (
    rf"(?:我叫做?|本人叫|他叫|她叫|名叫|取名叫?|化名|(?:名字|大名)(?:就?是|叫做?|为)|姓名(?:就?是|叫做?|为)?"
    rf"|(?:患者|病人|{RELATIVES})(?:的名字)?(?:名叫|叫做|叫)){OPEN}"
)
PEOPLE = any_of(
    "患者 病人 患儿 新生儿 病员 产妇 孕妇 伤者 死者 家属 我是 本人 本人是 这是 我爸 我妈 我姐 我哥 我弟 我妹 其子 其女 其妻 其夫 其母 其父 其姐 其弟 其妹 其兄 之妻 之夫 之母 之父 之子 之女 联系人 陪护 家长 "
    "配偶 医师 医生 大夫 主任 护士 教授 陪同 陪同者 人员"
)
ANYONE = "(?<!或)者|[户办托诉证责理护养收]人|司机|[员师士译]|[村居牧渔]民|职工|学生|户主|助手|户名|(?:人|信息)(?=[：: ])"  # what the word for a person ends with
LIKELY = rf"(?:{PEOPLE}|{WORKERS}|{RELATIVES}|{ANYONE}){SPACE}?{OPEN}{SPACE}*"
SURNAME = re.compile(
    rf"(?:我姓|免贵姓|鄙姓|本人姓)({'|'.join(sorted(DOUBLE))}|[\u4e00-\u9fff])(?=[^\u4e00-\u9fff]|$|[的是])"
)
DOES = re.compile(  # what only people do
    "家属|之[妻子女夫母父]|怀孕|[你您]好|接听|接电话|提供|陪同|代诉|代述|护送|送入|送来|送至|送医|送诊|签字|签名|收[就即件]|收(?![\u4e00-\u9fff])|转告|自述"
)
CUE = re.compile(rf"(?P<field>{FIELD})|(?P<called>{CALLED})|(?P<likely>{LIKELY})")
TITLE = re.compile(
    "先生|女士|小姐|太太|大夫|医生|(?:住院|主治)?医师|副?主任(?:医师|护师|药师)?|(?:主管)?护师|药师|技师|某(?=[某，。,、；的因男女(（]|$)|老人|老太太|老先生|大哥|大姐|副?教授|护士长?|副?院长|老师|阿姨|叔叔|大爷|大妈|大娘|大叔|大伯|伯伯|奶奶|爷爷|"
    "同志|专家|博士|师傅|同学|小朋友"
)
THINGS = any_of("家属 主管医 主治医 管床医 病历 化验单 检查单 检查结果 手术 电话 联系方式 身份证 手机 地址 名字 孩子")
OWNER = re.compile(rf"的(?:{RELATIVES}|{THINGS})")
# A text without any of these has no cue; to look for them is quick.
HINT = re.compile(
    "名|叫|签|医|护|患|病|我|本人|家属|人[:：]|者[:：]|先生|女士|小姐|主任|教授|院长|老师|姨|叔|大[爷妈娘伯]|[爷奶]|同志|专家|博士|师傅|"
    "妇|男|姓|者|师|士|手|译|民|职工|学生|户|司机|办人|托人|诉人|证人|责人|理人|养人|信息|收|接|提供|送|[子女儿夫妻父母亲友]|配偶|陪|员|手[:：]|[·•・‧․]"
)
HAN = re.compile("[\u4e00-\u9fff]")
FOREIGN = re.compile("[\u4e00-\u9fff]{1,9}(?:[·•・‧․][\u4e00-\u9fff]{1,10}){1,3}")
FOREIGN_END = re.compile("先生|女士|小姐|大夫|医生|医师|主任|男|女|患者|因|今年|于|来自|是|的|在|代诉|说|已|有|住|现")
# What may stand before a name that no cue introduces, beside a mark.
BEFORE = frozenset(
    "的是请找谢感问跟和让叫给由见了位经在向询好对与及到去看挂约像为被替陪同带把者人属员据从听等托致写名儿友妻夫父母子女兄姐弟妹爸妈公婆娘叔姨伯师医"
)
AFTER = re.compile(  # what may stand behind a name that is only likely
    "$|[^\u4e00-\u9fff]|[的是因于在和与及说来去到就也今昨患入住出代诉述男女前已有称带陪给把被将先主医大老教院护诊表签等现每近从自要想同送提接收写指查继服予拟基尚目上下昨这那老之]"
)
PERSON = re.compile(
    r"[,，(（ /\t]{1,2}(?:性别)?(?:男|女|\d{1,3}岁|\d{1,2}个月|身份证|电话|手机|联系|住址|家住|现住|籍贯|住院号|门诊号|病案号|职业|农民|工人|退休|已婚|未婚|汉族|[+]?(?:86)?1[3-9]\d{4})"
)
DAYS = frozenset({"今日", "昨日", "明日", "当日", "次日", "今天", "昨天", "今晨"})
THANKS = frozenset({"谢谢", "感谢", "多谢", "致谢", "道谢", "答谢", "拜谢"})
SIGNATURE = re.compile(rf"(?m)^{SPACE}*([\u4e00-\u9fff]{{2,4}}){SPACE}*\n(?={SPACE}*(?:19|20)\d\d[年/.-])")
FILLED = re.compile(rf"[\u4e00-\u9fff]{{2,4}}(?={SPACE}*(?:[,，。;；/、)）\n]|$|性别|年龄|男|女))")
USUAL_ONE = f"[{''.join(sorted(USUAL))}]"
UNCUED = re.compile(
    rf"[{''.join(sorted(FREQUENT - AMBIGUOUS))}]{USUAL_ONE}{{2}}|(?:{'|'.join(sorted(DOUBLE))})[{''.join(sorted(GIVEN))}]{{1,2}}"
)
PLAIN = "".join(sorted(FREQUENT - AMBIGUOUS - set("高方易黄白金马石江姜水胡")))
ALONE = re.compile(
    rf"(?<![^，。；：\n\t ,;:/])[{PLAIN}][\u4e00-\u9fff]{{2}}(?![^，。；：\n\t ,;:)）（(/])"
)  # between marks, not in a list
SPACED = re.compile("[\u4e00-\u9fff][ \u3000][\u4e00-\u9fff](?![\u4e00-\u9fff])")
NEAR = re.compile(r"[\u4e00-\u9fff\d·]")  # before something that is no whole word
AND = re.compile("[/、]|和|及|与")
