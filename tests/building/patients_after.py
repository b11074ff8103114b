"""Names and sentences that were written after the rules were fixed, and found 98.0 % and 88.2 % at first sight."""

from tests.building.patients import Wording
from zj.building.deidentify.spans import words

AFTER = Wording(
    given=words(
        "强 静 涛 璇 越 颖 昆 骥 婕 帆 芹 冰 毅 舟 莎 鸣 坚 淳 慧珍 秀兰 玉梅 桂珍 凤珍 惠芳 金梅 志敏 建伟 卫平 春雷 海鹰 振国 保国 明远 长江 全喜 银花 素芳 彩霞 晓光 晓玲 国栋 文斌 "
        "海龙 红军 新民 雅琴 丹丹 倩倩 圆圆 雨桐 梓涵 子墨 宇泽 皓然 奕涵 语嫣 若溪 佳怡 思远 哲瀚 承恩 铭轩 沐辰 芷晴 大柱 水莲 二丫 富贵 来娣 学勤 定邦 守仁 传宝 敬业"
    ),
    minority=words("阿卜力孜·奥斯曼 祖丽皮亚·艾则孜 拉巴·次仁 卓嘎·旺姆 苏日娜·格日勒 叶尔肯·托合塔尔"),
    cities=words(
        "邯郸市 镇江市 黄冈市 珠海市 台州市 郴州市 商洛市 钦州市 丹东市 威海市 滁州市 迪庆藏族自治州 伊犁哈萨克自治州 南充市"
    ),
    counties=words(
        "丛台区 京口区 黄州区 香洲区 椒江区 北湖区 洛南县 灵山县 振安区 文登区 来安县 维西傈僳族自治县 霍城县 营山县 高坪区"
    ),
    towns=words(
        "黄粱梦镇 谏壁街道 陈策楼镇 三灶镇 洪家街道 华塘镇 灵口镇 檀圩镇 同兴镇 宋村镇 半塔镇 塔城镇 清水河镇 小桥镇"
    ),
    villages=words(
        "北李庄村 月湖村 八斗湾村 海澄村 后高村 三合村 焦村 佛子村 变电村 石羊村 罗庄村 启别村 城西村 月华村"
    ),
    roads=words(
        "滏河北大街 中山东路 明珠大道 情侣南路 中心大道 国庆北路 华阳路 江滨大道 锦山大街 文山东路 永阳西路 长征大道 斯大林街 白塔路 四牌楼巷 解放里胡同"
    ),
    estates=words(
        "滏东小区 江南世家 阳光花园 海湾花园 云西小区 香花苑 商州小区 金湾名邸 福春小区 文苑小区 永阳新城 康珠花园 清华家园 北湖天著"
    ),
    consultations=[
        [
            "大夫您好，我母亲{relative}，<age>，<illness>两年，最近查<lab>，在吃<drug>，血压<bp>，用换药吗？",
            "您好，{relative}阿姨的情况建议先查一下。",
            "好的，我叫{name}，电话{mobile}，有消息请告诉我。",
            "好的{surname}先生。",
        ],
        [
            "请问{doctor}教授周几门诊？我的门诊号是{record}，身份证{id}。",
            "{doctor_surname}教授周二、周四门诊。",
            "谢谢，<illness>还能吃<drug>吗？",
            "可以，<date>来复查<lab>。",
        ],
        [
            "孩子{name}，<age>，生日{birth}，<illness>，<word>也不舒服。",
            "您好，建议多喝水，可用<drug>。",
            "我们住在{address}，请问附近有药店吗？",
            "请用地图查询。",
        ],
        [
            "收货地址：{place}，收货人{name}，联系方式{mobile}，邮政编码{postcode}。",
            "好的，<drug>已发出。",
            "我微信号是{wechat}，QQ号{qq}，物流信息发我一下。",
            "已发送。",
        ],
        [
            "您好，我是患者{relative}的家属{name}，请问检查结果<lab>正常吗？",
            "基本正常，<word>注意休息。",
            "方便发邮件吗？{email}",
            "好的。",
        ],
        [
            "退费打到卡号{card}，开户人{name}，有问题打{landline}。",
            "好的，已经登记。",
            "我的旧身份证是{old_id}，手机{chinese_mobile}。",
            "收到。",
        ],
        ["<illness>一个多月，<lab>，血压<bp>，吃<drug>没有效果，<word>更重。", "建议<date>到医院做进一步检查。"],
        ["司机{name}，车牌{plate}，来院接病人{relative}，需要登记吗？", "请在门口登记，{surname}师傅。"],
    ],
    notes=[
        "患者姓名：{name}，性别：<sex>，年龄：<age>，身份证号码：{id}，家庭住址：{address}，联系电话：{mobile}。主诉：<illness>。血压<bp>，<lab>，予<drug>。医师：{doctor}。",
        "患者{name}，<sex>性，<age>，主因“<illness>3天”于<date>入我院，病案号{record}。查<lab>，给予<drug>后缓解。上级医师：{doctor}，住院医师：{other}。",
        "交班记录：12床{name}，<illness>，今日血压<bp>，<lab>，继续<drug>。交班者：{doctor}；接班者：{other}。",
        "孕妇{name}，丈夫{relative}，联系电话{mobile}，现住{village}，{birth}出生，孕38周，血压<bp>，<lab>。",
        "输血同意书 姓名：{name} 住院号：{record} 受血者签名：{name} 家属签名：{relative} 谈话医师：{doctor} <date>",
        "患者{minority}，护照{passport}，诊断<illness>，<drug>治疗，<lab>，<date>复诊，主诊医师{doctor}。",
        "尸检委托人：{relative}，系死者{name}之子，住{place}，电话{landline}。死者生前患<illness>，用<drug>。",
        "超声报告单 检查号：{record} 姓名：{name} 年龄：<age> 临床诊断：<illness> 检查者：{doctor} 记录者：{other} 日期：<date>",
        "<illness>，<drug>口服，<lab>，血压<bp>，<word>随访，<date>复查。",
        "病史汇报：{doctor}医师汇报病史，患者{name}，<age>，<illness>，<lab>。{other}主治医师补充：可加用<drug>。",
    ],
)
