"""Names and sentences that the rules were written with: no result is reported on them."""

from tests.building.patients import Wording
from zj.building.deidentify.spans import words

BEFORE = Wording(
    given=words(
        "伟 芳 娜 敏 静 丽 强 磊 军 洋 勇 艳 杰 娟 涛 明 超 霞 平 刚 辉 鹏 飞 红 玲 建国 志强 秀英 桂英 玉兰 小红 文静 雨涵 子轩 浩然 欣怡 梓涵 一诺 宇航 思远 海燕 春梅 国庆 建华 丽丽 晓明 晓燕 雪梅 "
        "婷婷 佳怡 俊杰 天宇 博文 志明 永强 大山 翠花 凤英 金凤 淑芬 淑贞 振华 卫东 爱民 保国 德胜 福生 贵生 立新 素芬 可欣 若曦 亚男 诗涵 语嫣 嘉豪 泽宇 铁柱 二妮 长贵 兴旺 安安 乐乐 乐天 知行 念慈"
    ),
    minority=words("阿依古丽·买买提 艾合买提·吐尔逊 古丽娜尔·阿不都拉 扎西·次仁 买买提·艾力 热依汗·阿布都"),
    cities=words(
        "济南市 青岛市 郑州市 成都市 广州市 杭州市 长沙市 西安市 南宁市 周口市 菏泽市 恩施土家族苗族自治州 阿克苏地区"
    ),
    counties=words("历下区 金水区 武侯区 天河区 西湖区 岳麓区 太康县 单县 曹县 雁塔区 浦东新区 义乌市 长清区 郫都区"),
    towns=words("张集镇 王集乡 大田镇 龙泉街道 青山镇 李庄乡 柳河镇 文昌街道"),
    villages=words("李楼村 王庄村 大李村 东张庄 前进村 和平社区 小河屯 刘家寨"),
    roads=words("解放路 人民路 中山东路 文三路 建设大街 长江大道 和平里 二七路 经十路 天府大道北段 南京西路 朝阳巷"),
    estates=words("阳光小区 锦绣花园 万科城 翡翠公寓 书香苑 龙湖国际 幸福里 丽景家园 电力宿舍"),
    consultations=[
        [
            "医生您好，我叫{name}，今年<age>，最近血压<bp>，吃<drug>可以吗？",
            "{surname}女士您好，<drug>可以暂时服用，注意监测血压。",
            "好的，我的电话是{mobile}，方便的话加我微信：{wechat}。",
            "好的，祝您早日康复。",
        ],
        [
            "孩子叫{name}，<age>，{birth}出生，<illness>三天了，<lab>，需要住院吗？",
            "您好，建议马上到医院就诊，不要紧张。",
            "我们在{address}，去哪家医院方便？",
            "可以到当地三甲医院儿科。",
        ],
        [
            "我是{name}，上次在{doctor_surname}医生那里看的，就诊卡号：{record}，想问结果出来没有。",
            "您好，检查结果<lab>，没有大问题，请放心。",
        ],
        [
            "家住{village}，去省城不方便，能把药寄来吗？收件人：{name}，电话{mobile}，邮编{postcode}",
            "可以，我们会寄到您填写的地址。",
        ],
        ["谢谢{doctor}主任，我妈妈吃了<drug>好多了，白天也<word>了。", "不客气，记得<date>来复查。"],
        [
            "你好，我的QQ是{qq}，邮箱{email}，报告发给我就行。",
            "好的，已发送。",
            "身份证{id}，要不要登记？",
            "不用，就诊时带上即可。",
        ],
        ["我老公{relative}，<age>，体检发现<illness>，<lab>，严重吗？", "不严重，注意休息，<word>。"],
        [
            "医生我<illness>好几天了，<word>就难受，吃了<drug>不见效，<lab>。",
            "请问体温多少？有没有过敏史？",
            "体温38.5，没有过敏。",
            "建议查血常规，多喝水。",
        ],
    ],
    notes=[
        "姓名：{name}  性别：<sex>  年龄：<age>  出生日期：{birth}\n身份证号：{id}\n住院号：{record}\n住址：{address}\n联系电话：{mobile}\n主诉：<illness>3天。\n体格检查：血压<bp>，<lab>。\n诊断：<illness>\n医师签名：{doctor}\n<date>",
        "患者{name}，<sex>，<age>，因“<illness>”于<date>入院。查体：血压<bp>。实验室检查：<lab>。给予<drug>治疗后好转。病历号{record}。\n主治医师：{doctor}",
        "门诊号：{record}，患者姓名：{name}，身份证号码{old_id}，家庭住址：{village}（{postcode}）。既往<illness>，服<drug>。家属：{relative}，联系方式：{landline}。",
        "患者{minority}，<sex>，<age>，医保卡号：{record}，单位电话：{landline}。患者<illness>，口服<drug>，<word>时加重。",
        "病人{name}因车祸入院，肇事车辆{plate}，陪同人员{relative}，手机{mobile}。银行卡：{card}。查<lab>，血压<bp>。",
        "外籍患者，护照号{passport}，e-mail：{email}，<date>就诊，诊断<illness>，处方<drug>。",
        "主诉：<illness>半年。现病史：患者半年前<word>出现<illness>，服用<drug>，<lab>，血压<bp>，<date>复查。",
        "患者{name}，{birth}生，现住{address}。{name}的女儿{relative}代诉：<illness>，用<drug>无效。管床医生：{doctor}，{doctor_surname}主任查房后同意目前治疗。",
    ],
)
