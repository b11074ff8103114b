"""Names and sentences that were written after the rules were fixed: results are reported on these."""

from tests.building.patients import Wording
from zj.building.deidentify.spans import words

AFTER = Wording(
    given=words(
        "健 凤 宇 勇 蓉 雷 铭 薇 林 楠 倩 彬 松 萌 岩 洁 瑜 炜 淑珍 玉英 桂香 秀云 凤琴 丽华 晓梅 文华 德华 国平 海林 志伟 建业 永生 金生 学兵 立新 庆国 桂荣 翠花 爱玲 月华 "
        "少峰 云峰 卫兵 红霞 海峰 佳琳 雨萱 欣妍 梓轩 浩博 俊宇 宇辰 一鸣 子琪 思雨 若彤 诗琪 静怡 晓雯 明辉 天成 文轩 嘉欣 乐怡 可儿 安琪 家乐 长顺 有才 喜梅 秋生 润生 小兰 大力"
    ),
    minority=words("吐尔洪·马木提 阿瓦古丽·肉孜 次仁·拉姆 巴桑·卓嘎 哈斯·巴雅尔 古丽巴努尔·沙吾提"),
    cities=words(
        "唐山市 扬州市 孝感市 江门市 金华市 邵阳市 汉中市 玉林市 锦州市 济宁市 安庆市 文山壮族苗族自治州 昌吉回族自治州 达州市"
    ),
    counties=words(
        "路北区 邗江区 孝南区 蓬江区 婺城区 大祥区 城固县 博白县 凌海市 兖州区 怀宁县 砚山县 玛纳斯县 渠县 任城区"
    ),
    towns=words(
        "果园镇 公道镇 肖港镇 棠下镇 琅琊镇 檀江街道 柳林镇 那林镇 石山镇 新兖镇 石牌镇 江那镇 包家店镇 三汇镇"
    ),
    villages=words("东八户村 湖滨村 新华村 良溪村 白沙驿村 木瓜村 古路坝村 米马村 十里台村 牛王村 邱家山村 子马村"),
    roads=words(
        "新华西道 文昌中路 城站路 港口一路 双龙南街 宝庆中路 民主街 人民南路 上海路 建设东路 菱湖南路 普阳西路 延安南路 万寿路 柳巷 胜利胡同"
    ),
    estates=words(
        "凤凰新城小区 翠岗小区 槐荫花园 江门花园 金都美地小区 邵水名苑 汉江家园 金湾花园 锦绣天第公寓 运河城大厦 光彩花园 丽江苑"
    ),
    consultations=[
        [
            "你好医生，我叫{name}，<sex>，<age>，最近<illness>，去医院查了<lab>，需要吃<drug>吗？",
            "{name}您好，可以服用<drug>，注意监测血压，目前<bp>偏高。",
            "好的，谢谢医生，以后可以打您电话吗？我的号码是{mobile}。",
            "可以在线联系我。",
        ],
        [
            "我儿子{name}，<age>，{birth}生，<illness>，吃了<drug>，<lab>。",
            "您好，请带孩子复查。",
            "挂哪位医生的号？上次是{doctor}医生看的。",
            "还挂{doctor_surname}医生的号就行。",
        ],
        [
            "{doctor_surname}主任您好，我是{relative}的女儿，我妈的住院号是{record}，想问出院后<drug>怎么吃？",
            "您好，按出院医嘱服用，<date>来复查。",
            "我们家住{address}，能就近复查吗？",
            "可以。",
        ],
        ["收件人：{name}\n电话：{mobile}\n地址：{place}\n邮编：{postcode}\n麻烦寄<drug>一盒。", "好的，已安排。"],
        [
            "想咨询报销的事，身份证号是{id}，银行卡号{card}，户主{name}。",
            "请把发票寄来，我们的座机是{landline}。",
            "好，我微信是{wechat}，有消息通知我。",
            "好的。",
        ],
        [
            "我先生{relative}血压<bp>，一直吃<drug>，<lab>，<word>会头晕。",
            "{relative}先生的血压没控制好，建议调整用药。",
            "他的老身份证号{old_id}还能用吗？",
            "请用新证。",
        ],
        ["<illness>好几年了，<word>加重，血压<bp>，吃<drug>，<lab>。", "建议住院检查，<date>前来办理。"],
        [
            "医生加个QQ吧，{qq}，或者发邮件{email}。",
            "抱歉，只能在平台沟通。",
            "那您记一下我电话{chinese_mobile}，我姓{surname}，车牌{plate}，我来接您。",
            "不必了。",
        ],
    ],
    notes=[
        "姓名：{name}　性别：<sex>　年龄：<age>　病历号：{record}\n身份证号：{id}　电话：{mobile}\n地址：{address}\n主诉：<illness>一周。查体：血压<bp>。辅助检查：<lab>。\n诊断：<illness>。处置：<drug>。\n医生签名：{doctor}　<date>",
        "患者{name}，<sex>，<age>，因<illness>于<date>收住院，住院号{record}。入院后给予<drug>，<lab>。{doctor}主任查房：同意目前诊治。经治医师：{other}",
        "产妇{name}，<age>，{birth}出生，住{village}，联系人{relative}（丈夫），电话{mobile}。产检血压<bp>，<lab>。",
        "陪护人员：{relative}，联系电话：{landline}。患者：{name}，门诊号：{record}，<illness>，予<drug>。责任护士：{other}。",
        "患者{minority}，护照号码{passport}，<age>，<illness>，<lab>，<date>出院。医师：{doctor}",
        "体检报告\n姓名 {name}  性别 <sex>  年龄 <age>  体检编号 {record}\n血压 <bp>  <lab>\n结论：<illness>\n总检医师：{doctor}",
        "授权委托书：委托人{name}，身份证{id}，委托{relative}全权办理。受托人：{relative}，电话{mobile}。签名：{name} <date>",
        "<date>查房，患者<illness>，<word>，血压<bp>，<lab>，继续<drug>，向家属交代病情。",
        "会诊意见：患者{name}<illness>，<lab>，建议予<drug>。会诊医师：{doctor}，申请医师：{other}。",
        "家访记录：{village}村民{name}，<age>，<illness>，服<drug>，血压<bp>。随访医生{doctor}，随访日期<date>。",
    ],
)
