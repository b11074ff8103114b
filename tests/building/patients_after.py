"""Names and sentences that were written after the rules were fixed: results are reported on these."""

from tests.building.patients import Wording
from zj.building.deidentify.spans import words

AFTER = Wording(
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
        "检验报告单  姓名：{name}  门诊号：{record}  条码号：{record}\n{lab_line}<lab>\n检验者：{doctor}  审核者：{other}  报告时间：<date>".replace(
            "{lab_line}", ""
        ),
    ],
)
