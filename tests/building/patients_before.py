"""Names and sentences that the rules were written with: no result is reported on them.

SECOND to SIXTH were each written when the rules were held to be fixed. These found 79, 71, 81, 94 and 94 % of their names at
first sight, and were mended by what they had missed.
"""

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

SECOND = Wording(
    given=words(
        "波 斌 凯 浩 亮 俊 帅 倩 颖 琳 晶 莉 萍 燕 岩 旭 婷 璐 森 峰 桂兰 秀兰 玉梅 建军 建平 国强 海波 晓东 晓峰 雨桐 梓萱 子涵 浩宇 俊熙 思琪 若汐 佳琪 雅婷 美玲 慧敏 淑华 玉珍 凤霞 金花 长江 "
        "文博 志远 世杰 明轩 天佑 宇轩 沐宸 奕辰 一鸣 书瑶 语桐 欣妍 诗琪 静怡 伟民 立国 新华 援朝 跃进 红卫 开顺 德全 有才 来福 根生 水生 冬梅 秋菊 腊梅 荷花 银环 改霞 彩云 巧玲 润泽 承志 绍辉 继红 少杰 鸿飞"
    ),
    minority=words("迪丽努尔·阿卜杜拉 努尔兰·哈斯木 卓玛·央金 木合塔尔·依明 格桑·顿珠 帕提古丽·吾买尔"),
    cities=words(
        "洛阳市 潍坊市 绵阳市 佛山市 温州市 株洲市 宝鸡市 桂林市 南阳市 临沂市 赣州市 大理白族自治州 喀什地区 九江市"
    ),
    counties=words(
        "涧西区 寿光市 涪城区 顺德区 鹿城区 芦淞区 金台区 象山区 新野县 兰陵县 于都县 宾川县 疏勒县 栖霞区 沙坪坝区"
    ),
    towns=words("歪头乡 城关镇 高桥镇 马头镇 银坑镇 鸡足山镇 巴合齐乡 沿江街道 石桥镇"),
    villages=words("赵家庄村 上河村 红星村 下坪村 南街社区 陈家屯 羊角寨 大樟树村"),
    roads=words(
        "中州中路 健康街 临园路 岭南大道 学院西路 建设南路 经二路 中山中路 黄河大道 沂蒙路 红旗大道 建业胡同 钟楼巷 延安三路"
    ),
    estates=words("绿城玫瑰园 恒大名都 金色家园 碧桂园小区 紫荆花园 东方明珠公寓 铁路新村 教师公寓 香榭里 御景湾"),
    consultations=[
        [
            "您好医生，请问我叔叔{relative}的化验单您看了吗？<lab>，他<age>了。",
            "看过了，{relative}的指标尚可，继续服用<drug>。",
            "好的，有事请打{mobile}找我，我姓{surname}。",
            "没问题。",
        ],
        [
            "大夫你好！本人{name}，<sex>，<age>，反复<illness>，血压<bp>。",
            "您好，{surname}先生，先查个血常规。",
            "查过了，<lab>。报告单编号没记住，病历号是{record}。",
            "我调出来看一下。",
        ],
        [
            "宝宝大名叫{name}，生日是{birth}，体检说<illness>，怎么办？",
            "别着急，先观察，<drug>不要自己吃。",
            "我的微信号{wechat}，有空请加一下。",
            "抱歉，不便加微信。",
        ],
        ["我家地址是{address}，快递写{name}收就行，手机号：{mobile}。", "好的，<drug>明天寄出。"],
        [
            "身份证号：{id}，姓名：{name}，帮忙预约{doctor_surname}教授的号。",
            "已经约好<date>上午。",
            "另外我母亲{relative}也想看，她的身份证是{old_id}。",
            "请到窗口办理。",
        ],
        [
            "{doctor}医生在吗？上周开的<drug>吃完了，还要吃吗？",
            "我是{doctor}，<illness>基本控制，可以停了。",
            "太好了，谢谢{doctor_surname}大夫！报告请发到{email}",
            "好的。",
        ],
        ["化验结果<lab>，血压<bp>，<word>的时候会心慌，吃<drug>要紧吗？", "不要紧，<word>休息，<date>复诊。"],
        [
            "老家是{village}的，邮编：{postcode}，能报销吗？医保卡号{record}",
            "可以报销，带上银行卡{card}就行？",
            "是的，QQ：{qq}。",
            "收到。",
        ],
        ["手机{chinese_mobile}，家里座机{landline}，车牌号{plate}，可以进院停车吗？", "可以，登记一下即可。"],
    ],
    notes=[
        "出院记录\n患者姓名：{name}    住院号：{record}\n入院日期：<date>    出院日期：<date>\n入院诊断：<illness>\n诊疗经过：{name}入院后完善检查，<lab>，予<drug>治疗。\n出院医嘱：<date>门诊复查。\n主管医师：{doctor}    住院医师：{other}",
        "{name}，<sex>，<age>，农民，现住址：{village}。因<illness>2天于<date>由家属{relative}送入我科。血压<bp>，<lab>。病史由患者女儿{other}提供，可靠。",
        "会诊记录：患者{name}（病案号：{record}），目前<illness>，服<drug>，请{doctor_surname}主任会诊。会诊医师：{doctor}",
        "知情同意书\n患者：{name}\n身份证号码：{id}\n联系地址：{address}\n联系电话：{landline}\n患者签名：{name}\n委托人签名：{relative}  与患者关系：配偶\n医生签名：{doctor}\n<date>",
        "随访：电话联系患者{name}（{mobile}），其妻{relative}接听，诉<illness>好转，仍服<drug>，血压<bp>。",
        "患儿{name}，出生日期：{birth}，母亲{relative}，联系方式：{mobile}，家庭住址：{place}。<illness>1天，<lab>。",
        "患者{minority}，{birth}出生，身份证{id}，护照号码：{passport}，<illness>，予<drug>。",
        "查房：{doctor}主任医师查房，指出患者<illness>，<word>，<lab>，血压<bp>，继续<drug>。",
        "既往<illness>，长期服<drug>。个人史、家族史无特殊。体格检查：血压<bp>，心率78次/分。<lab>。<date>拟行手术。",
        "受检者：{name}  门诊号：{record}  检查日期：<date>\n检查所见：<illness>可能。\n检查医师：{doctor}  审核医师：{other}\n联系电话：{local}",
    ],
)

THIRD = Wording(
    given=words(
        "宁 娅 坤 臣 蕾 菲 骏 瑞 珍 芸 翔 靖 淼 威 钢 贺 雯 曼 钰 彪 维 薇 松 茹 宏伟 学文 金龙 银凤 兰芳 翠英 月娥 玉芬 惠玲 秀珍 树林 长海 占军 保华 连生 喜凤 春花 桃花 爱华 爱国 建设 "
        "文革 为民 解放 拥军 向东 铁生 石头 狗剩 二虎 小龙 大勇 佳慧 心怡 雨欣 子墨 一凡 浩轩 艺涵 可馨 梦洁 紫涵 依诺 芷若 锦程 瑾瑜 睿哲 思源 昊天 皓轩 晨曦 语晨 安琪 乐瑶 清扬 望舒 如意 吉祥 满仓 "
        "得水 广才 耀祖 光宗 嘉木 景行 修远 怀瑾 知夏 南星 半夏 佩兰"
    ),
    minority=words("阿不都热合曼·玉素甫 古丽扎尔·买买提明 哈丽旦·阿吉 巴特尔·朝鲁 才让·多杰 索朗·旺堆"),
    cities=words(
        "保定市 徐州市 宜昌市 汕头市 泉州市 曲靖市 天水市 齐齐哈尔市 吉林市 黄石市 巴中市 延边朝鲜族自治州 和田地区 常德市"
    ),
    counties=words(
        "莲池区 铜山区 夷陵区 潮阳区 晋江市 麒麟区 秦州区 龙沙区 船营区 大冶市 平昌县 珲春市 墨玉县 桃源县 江北区"
    ),
    towns=words(
        "大因镇 汉王镇 三斗坪镇 海门镇 安海镇 越州镇 社棠镇 榆树屯镇 乌拉街镇 陈贵镇 驷马镇 春化镇 喀瓦克乡 漳江街道"
    ),
    villages=words("西王力村 虎头山村 高家堰村 新寨村 桥头村 大湾子村 柳树屯 周家湾 长岭社区 石门坎村"),
    roads=words(
        "五四中路 淮海西路 夷陵大道 长平路 涂门街 麒麟南路 羲皇大道 卜奎大街 吉林大街 湖滨路 江北大道东段 光明街 友谊巷 柳荫胡同 滨河北路"
    ),
    estates=words("秀兰城市花园 滨湖新村 金桂苑 合信星湖城 中骏世界城 翠峰小区 天河家园 卜奎小区 江畔明珠 磁湖山庄"),
    consultations=[
        [
            "专家您好，我爷爷{relative}上个月查出<illness>，<lab>，目前吃<drug>，血压<bp>。",
            "您好，{relative}老人家需要定期复查，<word>多休息。",
            "他的住院号是{record}，麻烦您查一下。",
            "查到了，建议继续用药。",
        ],
        [
            "我女儿{name}，{birth}出生的，老是<illness>，要不要吃<drug>？",
            "{name}小朋友的情况可以先观察。",
            "我们住{address}附近，电话是{mobile}，能上门吗？",
            "抱歉，不能上门。",
        ],
        [
            "{doctor_surname}医生，上次多亏您，我是{place}的{name}，吃了<drug>好多了。",
            "不客气，{surname}先生，<date>记得复查<lab>。",
        ],
        [
            "患者信息：{name}/<sex>/<age>/{mobile}，症状：<illness>，用药：<drug>。",
            "收到，请<date>到门诊，挂{doctor}教授的号。",
        ],
        [
            "您好，我想咨询一下<illness>，我叫{name}，<age>，身份证{id}",
            "您好{surname}女士，请描述一下症状。",
            "<word>的时候加重，<lab>。",
            "建议就诊。",
        ],
        [
            "报告能寄给我吗？{address}，{name}，{mobile}，邮编{postcode}",
            "可以，三天内寄出。",
            "也可以发邮箱：{email}，或者加QQ{qq}",
            "好的。",
        ],
        [
            "我在{doctor}主任那儿做的手术，就诊卡号{record}，现在<illness>，<word>不舒服。",
            "请联系病房，座机{landline}。",
            "打不通，能加微信吗，我微信{wechat}",
            "不好意思，不能。",
        ],
        ["血压<bp>，<lab>，<drug>还需要吃吗？体重65kg，身高172cm。", "需要，<date>再查一次，<word>不用担心。"],
        ["孩子身份证{id}，我的是{old_id}，报销打到卡里：{card}", "好的，请问户名？", "户名{name}", "已登记。"],
    ],
    notes=[
        "科室：呼吸内科  床号：12  姓名：{name}  <sex>  <age>  病案号：{record}\n<date> 08:30  {doctor}副主任医师查房记录\n患者诉<illness>，血压<bp>，<lab>。{doctor}副主任医师指示：继续<drug>。\n记录者：{other}",
        "{name}，身份证号{id}，于<date>因<illness>就诊我院，家属{relative}陪同，联系电话{mobile}。查<lab>，予<drug>口服。",
        "急诊病历\n患者：{name}\t<sex>\t<age>\n来院方式：120（车牌{plate}）\n陪送人：{relative}（电话：{mobile}）\n现病史：<illness>2小时，血压<bp>。\n接诊医生：{doctor}",
        "转诊单：兹有我院患者{name}（出生日期{birth}，住址{place}），因<illness>需转上级医院。联系人{relative}，电话{landline}。经治医师：{doctor}",
        "患者{name}于<date>行手术，术者{doctor}，助手{other}，麻醉医师{relative}。术中<word>，血压<bp>，术后<lab>。",
        "随访记录 姓名:{name} 电话:{mobile} 地址:{village} 微信号:{wechat} <date>诉<illness>，停用<drug>。",
        "病例讨论。主持人：{doctor}主任。{other}住院医师汇报病史：患者{name}，<sex>，<age>，<illness>入院，<lab>。{doctor_surname}主任：考虑<illness>，可用<drug>。",
        "患者{minority}（护照{passport}），<illness>，<lab>，主管护士{other}，翻译{relative}。",
        "<age><sex>性，<illness>2年，加重1天。服<drug>。查体：血压<bp>，脉搏82次/分。<lab>，<date>出院。",
        "检验报告单  姓名：{name}  门诊号：{record}  条码号：{record}\n<lab>\n检验者：{doctor}  审核者：{other}  报告时间：<date>".replace(
            "", ""
        ),
    ],
)

FOURTH = Wording(
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
        "上级医师查房记录：{doctor}主任医师查看患者后指出：患者{name}<illness>诊断明确，<lab>，可予<drug>。患者配合良好。经治医师{other}。",
    ],
)

FIFTH = Wording(
    given=words(
        "刚 萌 虹 瑛 泽 岚 喆 颂 烨 锋 琼 洲 荣 萱 辉 琪 滨 霖 淑敏 秀梅 凤英 桂芳 玉兰 金凤 爱民 洪涛 广平 树华 景山 春生 福来 建新 庆丰 丽红 艳芳 晓燕 海燕 雪莲 冬生 秋月 "
        "志军 国华 永刚 胜利 小芳 小刚 雨晴 雨辰 梦琪 欣悦 诗涵 佳颖 子豪 子轩 宇航 浩然 俊辉 天翔 思远 梓晨 语桐 沐阳 一诺 安然 若兰 婉清 静宜 文静 志平 立伟 启明 汉文 云霞 翠兰 腊月 毛妮"
    ),
    minority=words("艾克拜尔·吐尔逊 热孜万·艾尔肯 玛依拉·库尔班 旦增·曲珍 乌兰·巴图 赛力克·别克"),
    cities=words(
        "太原市 苏州市 荆州市 茂名市 绍兴市 岳阳市 渭南市 梧州市 抚顺市 烟台市 蚌埠市 楚雄彝族自治州 塔城地区 泸州市"
    ),
    counties=words(
        "小店区 姑苏区 沙市区 高州市 越城区 临湘市 富平县 藤县 望花区 福山区 怀远县 禄丰市 沙湾市 泸县 万柏林区"
    ),
    towns=words(
        "北格镇 甪直镇 弥市镇 分界镇 安昌街道 羊楼司镇 庄里镇 太平镇 前甸镇 高疃镇 河溜镇 金山镇 四道河子镇 云锦镇"
    ),
    villages=words("东蒲村 淞南村 新河口村 大垌村 西扆村 龙窖山村 觅子村 石脚村 金花村 湘里村 徐家坡 石板滩村"),
    roads=words(
        "并州南路 人民路 干将东路 北京中路 光华北路 解放南路 巴陵东路 仓程路 大学路 迎泰路 南大街 荣山路 乌鲁木齐东路 龙脑大道 槐荫巷 东风胡同"
    ),
    estates=words(
        "长风小区 新城花园 荆沙名苑 碧桂园 鲁迅家园 南湖公寓 富和小区 西江花园 望花新村 福海家园 盛世豪庭 龙城大厦"
    ),
    consultations=[
        [
            "医生您好，我是{name}，<age>，<illness>已经一个星期，吃过<drug>，血压<bp>。",
            "{surname}先生您好，请问有没有做过检查？",
            "做过，<lab>。",
            "建议继续<drug>，<date>复查。",
        ],
        [
            "我妈妈{relative}今年<age>，查出来<lab>，是{doctor_surname}主任看的，严重吗？",
            "您好，{relative}女士的指标略高，<word>不用担心。",
            "谢谢，可以留个电话吗？我的是{mobile}。",
            "请通过平台联系。",
        ],
        [
            "您好，孩子叫{name}，出生于{birth}，<illness>，<lab>。",
            "您好，建议带{name}到门诊看看。",
            "我们住在{address}，附近有好医院吗？",
            "可以去市儿童医院。",
        ],
        [
            "我的身份证{id}，姓名{name}，想查一下核酸结果。",
            "您好，结果正常。",
            "能发到我微信吗？微信：{wechat}",
            "平台可查看。",
        ],
        [
            "请把药寄到：{place}，收货人：{name}，手机{mobile}，邮编{postcode}。",
            "好的，<drug>已寄出。",
            "快递员打这个电话也行：{landline}。",
            "好的。",
        ],
        [
            "{doctor}大夫好，<illness>好了，<drug>还吃吗？就诊卡号{record}",
            "{doctor_surname}大夫今天休息，我替他回答，可以停药。",
            "谢谢，我QQ是{qq}，邮箱{email}",
            "好的。",
        ],
        ["<illness>有三天了，<word>更明显，<lab>，血压<bp>，<drug>能吃吗？", "可以短期服用，<date>再来复诊。"],
        [
            "退款请打到银行卡{card}，户名：{name}。",
            "收到。您的联系方式是？",
            "手机号{chinese_mobile}，车停在院里，车牌{plate}。",
            "好的。",
        ],
        [
            "您好，我和丈夫{relative}备孕一年了，<lab>，需要检查什么？",
            "建议您和丈夫都检查，<word>心态要好。",
            "他的身份证是{old_id}，能一起挂号吗？",
            "可以。",
        ],
    ],
    notes=[
        "姓名：{name}，性别：<sex>，年龄：<age>，住院号：{record}。患者因“<illness>2天”由急诊收入院。查体：血压<bp>。化验：<lab>。治疗：<drug>。主治医师：{doctor}。",
        "患者姓名:{name} 身份证号:{id} 家庭住址:{address} 联系人:{relative} 联系电话:{mobile}\n入院诊断:<illness>\n入院时间:<date>\n血压:<bp> 检验:<lab>\n用药:<drug>",
        "{name}，<sex>，<age>，<date>门诊就诊。主诉<illness>。血压<bp>。予<drug>口服。门诊号{record}。接诊医师{doctor}。",
        "病程记录\n<date> 今日{doctor}主任医师查房，患者{name}诉<illness>较前缓解，<lab>。继续予<drug>。\n记录医师：{other}",
        "手术同意书：本人{name}，身份证号{id}，同意行手术治疗。患者家属：{relative}，关系：配偶，电话：{landline}。主刀医师：{doctor}。<date>",
        "新生儿科：患儿，{name}之子，{birth}出生，<illness>，<lab>。父亲{relative}，联系电话{mobile}，住{village}。",
        "患者{minority}，<sex>，<age>，护照号{passport}，<illness>，<date>入院。主管医生：{doctor}，责任护士：{other}。",
        "一般情况可，<illness>无明显变化，血压<bp>，<lab>，<drug>继续，<date>复查，<word>观察。",
        "心电图报告 姓名：{name} 病区：内科 床号：18 编号：{record} 检查时间：<date> 结论：<illness>待排。报告医师：{doctor} 审核医师：{other}",
        "转科记录：患者{name}，病案号{record}，因<illness>转入我科，{doctor}医师交班，{other}医师接班，已通知家属{relative}。血压<bp>，<lab>，予<drug>。",
    ],
)

SIXTH = Wording(
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
