"""Names and sentences that were written after the rules were fixed: results are reported on these."""

from tests.building.patients import Wording
from zj.building.deidentify.spans import words

AFTER = Wording(
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
