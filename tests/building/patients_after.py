"""Names and sentences that were written after the rules were fixed: results are reported on these."""

from tests.building.patients import Wording
from zj.building.deidentify.spans import words

AFTER = Wording(
    given=words(
        "军 敏 燕 梅 兵 华 峰 艳 玲 霞 勤 健 莹 鑫 蓓 洪 涌 恒 玮 珊 媛 露 卫国 建忠 学军 德明 文彬 庆华 宝玉 振东 立军 永红 玉华 秀芳 凤兰 素珍 桂芝 月英 爱莲 美华 红梅 丽娟 晓丽 海霞 志刚 "
        "国栋 少华 云飞 鹏程 亚楠 婧怡 雨泽 梓豪 浩宸 若曦 思涵 诗雨 佳宁 欣然 子轩 俊豪 博涛 一帆 家豪 紫琪 慧琳 静雯 嘉怡 明哲 泽楷 传芳 守义 光明 万里 长生 金山 玉成 忠良 孝先 桂花 菊香 招弟 小芹 大伟 阿妹"
    ),
    minority=words("麦麦提·图尔荪 阿依努尔·赛买提 努尔古丽·艾山 德吉·白玛 丹增·罗布 叶尔波力·哈力克"),
    cities=words(
        "石家庄市 无锡市 襄阳市 湛江市 嘉兴市 衡阳市 咸阳市 柳州市 大庆市 淄博市 芜湖市 红河哈尼族彝族自治州 阿勒泰地区 遵义市"
    ),
    counties=words(
        "桥西区 滨湖区 樊城区 赤坎区 海宁市 祁东县 秦都区 鹿寨县 让胡路区 临淄区 繁昌县 弥勒市 布尔津县 播州区 蒸湘区"
    ),
    towns=words(
        "铜冶镇 雪堰镇 龙王镇 盐官镇 白鹤街道 双桥镇 寨沙镇 金山屯镇 敬仲镇 荻港镇 西三镇 冲乎尔镇 团溪镇 永丰乡"
    ),
    villages=words("南甘子村 城湾村 刘家营村 桃园村 光明社区 清水塘村 古懂村 孙家屯 上店村 黄家寨"),
    roads=words(
        "裕华西路 太湖大道 长虹路 人民大道 海昌南路 船山大道 渭阳中路 飞鹿大道 龙南路 齐都路 繁阳路 髯翁路 美丽峰路 桃溪大道 跃进巷 向阳胡同 广场北街"
    ),
    estates=words(
        "紫金华府 太湖花园 民发盛特区 城市花园 海昌名苑 中天广场 阳光嘉园 兴隆小区 油田新村 齐鲁花园 绿地公馆 福星家园"
    ),
    consultations=[
        [
            "你好，我是{name}的儿子，我父亲<age>，<illness>，在吃<drug>，血压<bp>，要紧吗？",
            "您好，{surname}先生的血压需要控制，<drug>可以继续。",
            "有问题怎么联系您？我电话{mobile}。",
            "在平台留言即可，<word>我会回复。",
        ],
        [
            "医生，我爱人{name}怀孕<age>，<illness>，<lab>，能吃<drug>吗？",
            "您好，孕期用药要谨慎，建议到产科就诊。",
            "在哪个医院好？我们家在{address}。",
            "就近就可以。",
        ],
        [
            "请问{doctor}医生哪天出诊？我叫{name}，上次的病历号{record}。",
            "{doctor_surname}医生每周三上午出诊。",
            "好的谢谢，我的身份证号是{id}，帮我挂号。",
            "请在公众号上挂号。",
        ],
        ["我孩子{name}今年上小学，出生日期{birth}，一直<illness>，<lab>。", "可以先吃<drug>观察，<word>来复查。"],
        [
            "{surname}女士您好，您的检查结果<lab>。",
            "谢谢医生，我是{name}，需要再来吗？我手机是{chinese_mobile}。",
            "<date>复查即可。",
            "好的，也可以发我邮箱{email}。",
        ],
        [
            "药寄到{village}，收件人{name}，电话{mobile}，邮编{postcode}。",
            "好的，<drug>两盒，已安排。",
            "钱打到哪个账户？我的卡号{card}，退款退这里。",
            "收到。",
        ],
        ["<illness>半个月了，吃了<drug>没用，<lab>，血压<bp>，要做手术吗？", "暂时不用，<word>注意休息，<date>复查。"],
        [
            "能加您微信吗？我的微信号：{wechat}，QQ：{qq}。",
            "抱歉，平台不允许。",
            "那打我家电话吧，{landline}，找{name}。",
            "好的。",
        ],
        [
            "患者{name}家属你好，{name}的化验<lab>，请到{doctor}主任处就诊。",
            "好的，什么时间方便？",
            "<date>上午，带就诊卡，卡号：{record}。",
            "知道了，我们开车去，车牌{plate}。",
        ],
    ],
    notes=[
        "入院记录\n姓名：{name}\t职业：农民\n性别：<sex>\t住址：{village}\n年龄：<age>\t供史者：{relative}\n民族：汉\t联系电话：{mobile}\n主诉：<illness>3天\n现病史：患者3天前<word>出现<illness>，服<drug>无效。血压<bp>，<lab>。\n医师签名：{doctor}/{other}",
        "患者{name}，<sex>，<age>，住院号{record}，因<illness>于<date>入院。经{doctor}主任会诊，予<drug>治疗，<lab>。现病情好转出院。",
        "手术记录 患者：{name} 病案号：{record} 手术日期：<date> 术者：{doctor} 第一助手：{other} 麻醉医师：{relative} 诊断：<illness>。术中血压<bp>。",
        "门诊病历\n{name} <sex> <age> 身份证：{id} 电话：{mobile}\n主诉：<illness>。\n查体：血压<bp>。<lab>。\n处理：<drug>口服。\n医生：{doctor}",
        "病危通知：患者{name}之妻{relative}（身份证号{id}，电话{landline}）已知晓病情。患者<illness>，<lab>，血压<bp>。谈话医生：{doctor}",
        "出生医学记录：母亲姓名{relative}，身份证号{old_id}，住址{address}；新生儿{name}，出生日期{birth}，<sex>，体重3200g，<lab>。接生医师{doctor}。",
        "患者{minority}，<sex>，持护照{passport}就诊，<illness>，予<drug>，<date>复诊。联系方式：{mobile}。",
        "<sex>，<age>，<illness>1周。无药物过敏史。查体：血压<bp>，心率80次/分。辅助检查：<lab>。处理：<drug>，<date>复查，<word>随诊。",
        "护理记录 <date> 患者{name}<illness>，遵医嘱予<drug>，测血压<bp>，已告知家属{relative}。护士：{other}",
        "上级医师查房记录：{doctor}主任医师查看患者后指出：患者{name}<illness>诊断明确，<lab>，可予<drug>。{surname}某配合良好。经治医师{other}。",
    ],
)
