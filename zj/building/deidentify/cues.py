"""What stands beside names, with its points: how much likelier it makes a name."""

from __future__ import annotations

import re

from .characters import DOUBLE, SINGLE
from .spans import words

SPACE = r"[ \t\u3000]"
SIDES = ' \t\u3000:("“「『【】[]|*'  # may stand between a word and the name that it announces
# A list is oftener of drugs than of people; 斯特奇-韦伯 is an illness.
MARKS = dict.fromkeys("、.·•+", -0.5) | dict.fromkeys("-—", -6.0)
JOINS = dict.fromkeys("/和与及跟同", 3.0) | {"、": 1.0}  # between two names
PREFIXES = {"老": 2.0, "小": 1.0, "阿": 1.0}  # 老王, 小李

NAMED = words("姓名 姓 名字 签名 签字 签 署名 签章 户名 曾用名 原名 化名 名称")
CALLED = words(
    "我叫 名叫 叫做 他叫 她叫 叫作 取名 名字叫 名字是 名是 姓名是 姓名为 名为 本人叫 大名 小名 乳名 的叫 儿叫 子叫 妈叫 爸叫 婆叫 公叫 友叫 生叫 者叫 人叫 我是 本人 叫"
)
WORKERS = words(
    "户主 翻译 尊敬的 亲爱的 医师 医生 大夫 护士 护师 主任 教授 药师 技师 主刀 术者 助手 一助 二助 麻醉 主管 主治 经治 管床 审核 复核 记录 报告 书写 操作 陪护 陪同 联系人 监护人 "
    "收件 收货 收款 付款 寄件 经办 负责 责任 代办 接诊 首诊 带教 护工 司机 同事 室友 同学 邻居 老乡 亲戚 闺蜜 战友 房东 保姆 客服 组长 班长 队长 院长 所长 校长 "
    "患者 病人 患儿 产妇 孕妇 病员 伤者 死者 家属 家长 先证者 受检者 被保险人 投保人 受益人 申请人 报案人 委托人 代理人 参保人 持卡人 就诊人 本人 乘客 学生 职工 员工 村民 居民 床"
)
RELATIVES = words(
    "孩子 宝宝 儿子 女儿 小孩 老公 老婆 爱人 妈妈 爸爸 父亲 母亲 妻子 丈夫 朋友 闺女 孙子 孙女 外孙 奶奶 爷爷 姥姥 姥爷 外婆 外公 哥哥 姐姐 弟弟 妹妹 侄子 侄女 叔叔 阿姨 "
    "伯伯 伯母 婶婶 婶子 舅妈 姨妈 嫂子 姐夫 妹夫 表哥 表姐 表弟 表妹 堂哥 堂弟 堂姐 堂妹 老伴 姑姑 舅舅 婆婆 公公 岳父 岳母 媳妇 女婿 儿媳 配偶 我爸 我妈 我姐 我哥 我弟 我妹 我娃 "
    "其子 其女 其妻 其夫 其母 其父 其兄 其弟 其姐 其妹 之妻 之夫 之母 之父 之子 之女 长子 次子 长女 次女 大哥 大姐 二哥 二姐 三哥 三姐 男友 对象 未婚妻 老爸 老妈 老爹 老娘 外甥 外甥女 大儿 二儿 "
)
ANYONE = words(
    "娘 汉 乡 属 孙 儿 女 仔 爷 奶 婆 公 爸 妈 叔 婶 姨 舅 姑 伴 者 人 员 师 士 长 户 工 生 友 娃 方 丈 妻 夫 婿 媳 嫂 姐 哥 弟 妹"
)
FUNCTION = tuple(
    "的是请找谢感问让给由见了位经在向询好对到去看挂约像为被替带把听等托致写有说告陪喊和与及跟叫同家着填搜按系需已遵，。；、,;!?！？"
)
TREATMENT = words(
    "口服 服用 服 吃 吃了 喝 喝点 用药 外用 涂 外涂 处方 予 给予 处理 药品 泡 使用 加用 换成 停用 片( 膏( 散( 丸( 囊( 剂( 液( 粒( 针( + 野生 生长"
)
UNITS = words("科 院 室 部 组 病区 中心 单位 公司 学校 班")
BESIDE = {  # {what stands before: (points beside the name, points with a colon between)}; the longest word counts
    word: (beside, colon)
    for group, beside, colon in (
        (FUNCTION, 0.5, 1.5),
        (UNITS, 1.0, 1.5),
        (ANYONE, 1.5, 5.0),
        (RELATIVES, 4.5, 6.0),
        (WORKERS, 4.5, 6.0),
        (CALLED, 4.5, 6.0),
        (NAMED, 5.0, 10.0),
        (("名",), 0.5, 10.0),
        (TREATMENT, -4.0, -4.0),
    )
    for word in group
}
LONGEST = max(map(len, BESIDE))

TITLE = re.compile(
    "先生|女士|小姐|太太|夫人|妈妈|爸爸|姥姥|治疗师|营养师|咨询师|康复师|心理师|化验员|大夫|医生|(?:住院|主治|副主任|主任)?医师|副?主任(?:医师|护师|药师)?|主管|护工|(?:主管)?护师|药师|技师|某某?(?=[^\u4e00-\u9fff]|的|因|男|女|$)|老人(?=[,，。(（因家])|老太太?|老先生|老师|"
    "大?[哥姐嫂叔姨婶]|副?教授|护士长?|副?[院处科局部所站校队班组村镇乡厂店行社会]长|阿姨|叔叔|大[爷妈娘叔伯]|伯伯|伯(?=[,，。 :：的说])|奶奶|爷爷?|同志|专家|博士|师傅|同学|小朋友|书记|经理|总(?=[，。,:： 的说])|"
    "律师|警官|会计|老板|司机|氏(?=[，。的])|工(?=[，。:： 您你说])|队(?=[，。:： ])|局(?=[，。:： ])"
)
PERSON = re.compile(
    r"[,，(（ /\t]{1,2}(?:性别)?(?:男|女|\d{1,3}岁|\d{1,2}个月|\d{2}[,，]|身份证|证件|电话|手机|联系|住址|家住|现住|籍贯|住院号|门诊号|病案号|床号|职业|农民|工人|退休|已婚|未婚|汉族|[+]?(?:86)?1[3-9]\d)"
    "|[男女](?:性|[,，、 ])|[ \t]*\\n?[ \t]*(?:19|20)\\d\\d ?[年/.-]"
)
VERBS = (
    "家属|之[妻子女夫母父]|怀孕|[你您]好|接听|接电话|提供|陪同|陪护|代诉|代述|护送|送入|送来|送至|送医|送诊|签字|签名|签收|收[就即件]|收(?![\u4e00-\u9fff])|转告|自述|自诉|主诉|诉|来电|来院|来诊|入院|"
    "出院|于|因|报告|记录|审核|书写|查房|会诊|接诊|主刀|术后|的(?:家属|主管|主治|病历|化验|检查|手术|电话|联系|身份证|手机|地址|名字|孩子|儿子|女儿|父亲|母亲|妈妈|爸爸|丈夫|妻子|爱人|老公|老婆|药|片子|报告)|"
    "今年|现年|说|问|告诉|打电话|同意|要求|拒绝|咨询|复诊|复查|就诊|挂|申请|办理|负责|探视|参加|安排|阅读|签署|卧床|沟通|两位|近期|下周|昨晚|照料|照顾|询问"
)
THING = "片|胶囊|颗粒|软膏|乳膏|丸|散|口服液|注射|滴眼|泡水|牌|综合征|征|病|细胞|试验|染色|菌|杆菌|氏菌|手术|法[，。]|评分|分级|量表|反应|穿刺|线|点|加|汤|膏|方[，。]|淋巴|瘤|炎"
MEDICINE = (  # the rest of a medicine's name
    "[^服吃用予给喝开买口取配，。,;；、:：\\s]{0,9}(?:胶囊|颗粒|口服液|[养安灵生活补][^，。]{0,4}丸|[丸栓丹](?:$|[，。怎])|神曲|药片|软膏|凝胶|滴剂|注射液|冲剂|气雾剂|分散片|缓释片|综合征)"
)
BEHIND = (
    (re.compile(THING), -5.0),
    (re.compile(MEDICINE), -5.0),
    (re.compile(f"(?:{TITLE.pattern})(?:[您你]好|好[，！!]|留言)"), 6.5),
    (TITLE, 4.5),
    (re.compile(VERBS), 1.5),
    (
        re.compile(
            "[的是在和与及来去到就也今昨患入住出代述有称带陪给把被将先主老表现每从要想同送提接收写继服已还又都没不吧吗呢啊呀嘛]"
        ),
        0.0,
    ),
)
ENDS_FOREIGN = re.compile("先生|女士|小姐|大夫|医生|医师|主任|[男女患因今于来是的在代说已有住现及和与陪]")
_SYLLABLE = "(?:[bpmfdtnlgkhjqxzcsrwy]|[zcs]h)?(?:i?[aeo]ng?|iong|[iu]?ang|u?eng|[iu]n|ing|ong|u?[ae]n|i?ao|i?ou|iu|u?[ae]i|ui|er|[iu]e|u[ao]|i?a|i?o|e|i|u|v)"
_LATIN_SURNAMES = (
    "wang li zhang liu chen yang huang zhao wu zhou xu sun ma zhu hu guo he gao lin luo zheng liang xie song tang xu han feng deng cao peng zeng xiao tian dong yuan pan yu jiang cai du ye cheng su wei lu ding ren shen yao "
    "cui zhong tan fan jin shi liao jia xia fu fang bai zou meng xiong qin qiu yin xue yan duan lei hou long tao hao gong shao wan qian dai mo kong xiang ouyang sima zhuge shangguan"
).title()
LATIN = re.compile(  # ZHANG Wei, Wang Jianguo
    rf"(?<![A-Za-z])(?:{'|'.join(words(_LATIN_SURNAMES))}|{'|'.join(words(_LATIN_SURNAMES.upper()))})(?:,? )"
    rf"(?:(?=[A-Z][a-z])(?i:{_SYLLABLE}(?:[- ']?{_SYLLABLE})?)|(?-i:[A-Z]{{2,12}}))(?![A-Za-z])"
)
FIELDS = re.compile(
    rf"(?:姓{SPACE}*名|名{SPACE}*字|签名|签字|户名)(?:[(（][^)）\n]{{0,6}}[)）])?(?:{SPACE}?[:：]{SPACE}*|{SPACE}{{1,3}})"
)
FILLED = re.compile(rf"[\u4e00-\u9fff]{{2,4}}(?={SPACE}*(?:[,，。;；/、)）\n]|$|性别|年龄|男|女))")
SPACED = re.compile("[\u4e00-\u9fff][ \u3000][\u4e00-\u9fff](?![\u4e00-\u9fff])")
SURNAME = re.compile(
    rf"(?<!老百)(?<!同)(?<!百家)姓({'|'.join(sorted(DOUBLE))}|[{''.join(sorted(SINGLE))}])(?=[^\u4e00-\u9fff]|$|[的是])"
)
THANKS = frozenset({"谢谢", "感谢", "多谢", "致谢", "道谢", "答谢", "拜谢"})
