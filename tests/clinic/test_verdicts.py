"""Verdicts on drugs against what labels (说明书) and guidelines say, written by hand and apart from the table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zj.clinic import CONDITIONS, DRUGS
from zj.clinic.case import Case

# condition | age, sex, circumstances, severity | drug | verdict | circumstance | what says so
ROWS = """
带状疱疹 | 60 男 肾功能不全者 | 泛昔洛韦 | reduce | 肾功能不全者 | 泛昔洛韦片说明书：肾功能不全者按肌酐清除率减量
带状疱疹 | 60 男 肾功能不全者 | 阿昔洛韦 | reduce | 肾功能不全者 | 阿昔洛韦片说明书：肾功能不全者调整剂量
带状疱疹 | 60 男 肾功能不全者 | 伐昔洛韦 | reduce | 肾功能不全者 | 盐酸伐昔洛韦片说明书：肾功能不全者减量
带状疱疹 | 60 男 肾功能不全者 | 加巴喷丁 | reduce | 肾功能不全者 | 加巴喷丁胶囊说明书：肾功能不全者按肌酐清除率调整剂量
带状疱疹 | 60 男 | 伐昔洛韦 | suitable | | 中国带状疱疹诊疗专家共识：尽早口服抗病毒药
带状疱疹 | 38 女 孕妇 | 阿昔洛韦 | monitor | 孕妇 | 阿昔洛韦片说明书：孕妇用药须权衡利弊
生殖器疱疹 | 30 女 孕妇 | 伐昔洛韦 | monitor | 孕妇 | 盐酸伐昔洛韦片说明书：孕妇慎用
生殖器疱疹 | 40 男 肾功能不全者 | 伐昔洛韦 | reduce | 肾功能不全者 | 盐酸伐昔洛韦片说明书：肾功能不全者减量
水痘 | 20 男 肾功能不全者 | 阿昔洛韦 | reduce | 肾功能不全者 | 阿昔洛韦片说明书：肾功能不全者调整剂量
痤疮 | 14 男 轻 | 异维A酸软胶囊 | unsuited | | 异维A酸软胶丸说明书：用于重度痤疮
痤疮 | 14 男 重 | 异维A酸软胶囊 | suitable | | 异维A酸软胶丸说明书：重度痤疮，12岁以下儿童禁用
痤疮 | 25 女 孕妇 重 | 异维A酸软胶囊 | forbidden | 孕妇 | 异维A酸软胶丸说明书：孕妇禁用，致畸
痤疮 | 25 男 肾功能不全者 重 | 异维A酸软胶囊 | forbidden | 肾功能不全者 | 异维A酸软胶丸说明书：肝肾功能不全者禁用
痤疮 | 25 女 孕妇 轻 | 阿达帕林凝胶 | forbidden | 孕妇 | 阿达帕林凝胶说明书：孕妇禁用
银屑病 | 16 男 轻 | 甲氨蝶呤 | unsuited | | 中国银屑病诊疗指南：甲氨蝶呤用于中重度
银屑病 | 30 女 孕妇 重 | 甲氨蝶呤 | forbidden | 孕妇 | 甲氨蝶呤片说明书：孕妇禁用
荨麻疹 | 30 男 肾功能不全者 | 西替利嗪 | reduce | 肾功能不全者 | 盐酸西替利嗪片说明书：肾功能损害者用量减半
荨麻疹 | 30 女 孕妇 | 氯雷他定 | monitor | 孕妇 | 氯雷他定片说明书：妊娠期及哺乳期妇女慎用
荨麻疹 | 30 男 肝功能不全者 | 氯雷他定 | reduce | 肝功能不全者 | 氯雷他定片说明书：肝功能受损者减低剂量
多囊卵巢综合征 | 30 女 肾功能不全者 | 屈螺酮炔雌醇片 | forbidden | 肾功能不全者 | 说明书：肾功能不全禁用，升血钾
原发性痛经 | 20 女 肾功能不全者 | 屈螺酮炔雌醇片 | forbidden | 肾功能不全者 | 说明书：严重或急性肾功能不全禁用
多囊卵巢综合征 | 36 女 高血压患者 | 屈螺酮炔雌醇片 | forbidden | 高血压患者 | 屈螺酮炔雌醇片说明书：重度高血压禁用
多囊卵巢综合征 | 30 女 肾功能不全者 | 二甲双胍 | forbidden | 肾功能不全者 | 盐酸二甲双胍片说明书：中重度肾功能不全者禁用
痛风 | 50 男 肾功能不全者 | 依托考昔 | forbidden | 肾功能不全者 | 依托考昔片说明书：肌酐清除率低于30毫升每分钟者禁用
痛风 | 50 男 高血压患者 | 依托考昔 | forbidden | 高血压患者 | 依托考昔片说明书：血压持续高于140/90且未控制者禁用
痛风 | 60 男 服用抗凝药者 | 依托考昔 | forbidden | 服用抗凝药者 | 依托考昔片说明书：与华法林同用时凝血酶原时间延长、出血
痛风 | 50 男 肾功能不全者 | 秋水仙碱 | forbidden | 肾功能不全者 | 秋水仙碱片说明书：肾和肝功能不全者禁用
痛风 | 50 男 肾功能不全者 | 甲泼尼龙片 | suitable | | 中国高尿酸血症与痛风诊疗指南：不能用前两种药时短期用激素
痛风 | 50 男 糖尿病患者 | 甲泼尼龙片 | monitor | 糖尿病患者 | 甲泼尼龙片说明书：糖尿病患者慎用
慢性前列腺炎 | 40 男 肾功能不全者 | 塞来昔布 | forbidden | 肾功能不全者 | 塞来昔布胶囊说明书：严重肾功能不全者不用
慢性前列腺炎 | 48 男 服用抗凝药者 | 塞来昔布 | forbidden | 服用抗凝药者 | 塞来昔布胶囊说明书：与华法林同用可致严重出血
慢性前列腺炎 | 40 男 磺胺过敏者 | 塞来昔布 | forbidden | 磺胺过敏者 | 塞来昔布胶囊说明书：对磺胺过敏者禁用
急性附睾炎 | 55 男 心力衰竭患者 | 布洛芬 | forbidden | 心力衰竭患者 | 布洛芬缓释胶囊说明书：严重心力衰竭者禁用
急性附睾炎 | 50 男 服用抗凝药者 | 布洛芬 | forbidden | 服用抗凝药者 | 布洛芬缓释胶囊说明书：与抗凝药同用增加出血
急性附睾炎 | 30 男 阿司匹林过敏者 | 布洛芬 | forbidden | 阿司匹林过敏者 | 布洛芬胶囊说明书：对阿司匹林过敏者禁用
肾结石 | 30 女 孕妇 | 双氯芬酸钠栓 | forbidden | 孕妇 | 双氯芬酸钠栓说明书：妊娠晚期禁用，其余时间不宜
肾结石 | 50 男 服用抗凝药者 | 双氯芬酸钠栓 | forbidden | 服用抗凝药者 | 双氯芬酸钠栓说明书：与抗凝药同用增加出血
肾结石 | 50 男 肾功能不全者 | 间苯三酚 | suitable | | 间苯三酚注射液说明书：用于肾绞痛，禁忌只有过敏
黄褐斑 | 30 女 孕妇 | 氨甲环酸 | forbidden | 孕妇 | 中国黄褐斑诊疗专家共识：妊娠期不口服氨甲环酸
黄褐斑 | 30 女 孕妇 | 氢醌乳膏 | forbidden | 孕妇 | 中国黄褐斑诊疗专家共识：妊娠期不用氢醌
黄褐斑 | 40 女 肾功能不全者 | 氨甲环酸 | reduce | 肾功能不全者 | 氨甲环酸片说明书：肾功能不全者减量
高血压病 | 38 女 孕妇 | 氢氯噻嗪 | forbidden | 孕妇 | 妊娠期高血压疾病诊治指南：一般不用利尿剂降压
高血压病 | 38 女 孕妇 | 缬沙坦 | forbidden | 孕妇 | 缬沙坦胶囊说明书：孕妇禁用
高血压病 | 38 女 孕妇 | 拉贝洛尔 | suitable | | 妊娠期高血压疾病诊治指南：首选拉贝洛尔、硝苯地平
高血压病 | 38 女 孕妇 | 氨氯地平 | monitor | 孕妇 | 苯磺酸氨氯地平片说明书：孕妇仅在必要时用
高血压病 | 60 男 哮喘患者 | 拉贝洛尔 | forbidden | 哮喘患者 | 盐酸拉贝洛尔片说明书：支气管哮喘患者禁用
高血压病 | 60 男 肝功能不全者 | 氨氯地平 | reduce | 肝功能不全者 | 苯磺酸氨氯地平片说明书：肝功能受损者小剂量开始
勃起功能障碍 | 55 男 服用硝酸酯类药物者 | 西地那非 | forbidden | 服用硝酸酯类药物者 | 说明书：与硝酸酯同用禁止
勃起功能障碍 | 55 男 心力衰竭患者 | 他达拉非 | forbidden | 心力衰竭患者 | 他达拉非片说明书：近六个月心力衰竭者禁用
勃起功能障碍 | 55 男 心力衰竭患者 | 睾酮凝胶 | forbidden | 心力衰竭患者 | 性腺功能减退症共识：心力衰竭未控制者禁用
勃起功能障碍 | 50 男 肾功能不全者 | 西地那非 | reduce | 肾功能不全者 | 西地那非片说明书：重度肾损害者从25毫克起
支气管哮喘 | 60 男 心力衰竭患者 | 沙丁胺醇气雾剂 | monitor | 心力衰竭患者 | 沙丁胺醇气雾剂说明书：心功能不全者慎用
支气管哮喘 | 50 男 高血压患者 | 沙丁胺醇气雾剂 | monitor | 高血压患者 | 硫酸沙丁胺醇吸入气雾剂说明书：高血压患者慎用
急性胃肠炎 | 40 男 肾功能不全者 | 口服补液盐Ⅲ | monitor | 肾功能不全者 | 口服补液盐说明书：肾功能不全者慎用
急性胃肠炎 | 60 男 心力衰竭患者 | 口服补液盐Ⅲ | monitor | 心力衰竭患者 | 口服补液盐说明书：心功能不全者慎用
急性胃肠炎 | 50 男 青光眼患者 | 山莨菪碱 | forbidden | 青光眼患者 | 消旋山莨菪碱片说明书：青光眼患者禁用
中暑 | 60 男 肾功能不全者 | 口服补液盐Ⅲ | monitor | 肾功能不全者 | 口服补液盐说明书：肾功能不全者慎用
社区获得性肺炎 | 40 男 青霉素过敏者 | 阿莫西林 | forbidden | 青霉素过敏者 | 阿莫西林胶囊说明书：青霉素过敏者禁用
社区获得性肺炎 | 40 男 青霉素过敏者 | 头孢呋辛酯 | monitor | 青霉素过敏者 | 头孢呋辛酯片说明书：青霉素过敏者慎用
社区获得性肺炎 | 40 男 头孢过敏者 | 头孢呋辛酯 | forbidden | 头孢过敏者 | 头孢呋辛酯片说明书：头孢菌素过敏者禁用
社区获得性肺炎 | 40 男 头孢过敏者 | 阿莫西林 | monitor | 头孢过敏者 | 皮肤试验指导原则：头孢过敏不等于青霉素过敏
社区获得性肺炎 | 40 男 肾功能不全者 | 左氧氟沙星 | reduce | 肾功能不全者 | 左氧氟沙星片说明书：按肌酐清除率减量
社区获得性肺炎 | 40 男 癫痫患者 | 左氧氟沙星 | forbidden | 癫痫患者 | 左氧氟沙星片说明书：癫痫患者禁用
社区获得性肺炎 | 30 女 孕妇 | 阿莫西林 | suitable | | 阿莫西林胶囊说明书：孕妇有明确指征时可用
急性中耳炎 | 16 男 | 布洛芬 | suitable | | 布洛芬混悬液说明书：儿童可用
盆腔炎 | 30 女 癫痫患者 | 甲硝唑 | forbidden | 癫痫患者 | 甲硝唑片说明书：有活动性中枢神经系统疾病者禁用
盆腔炎 | 30 女 头孢过敏者 | 头孢曲松 | forbidden | 头孢过敏者 | 注射用头孢曲松钠说明书：头孢菌素过敏者禁用
急性阑尾炎 | 30 女 孕妇 | 甲硝唑 | forbidden | 孕妇 | 甲硝唑片说明书：孕妇及哺乳期妇女禁用
甲状腺功能亢进症 | 30 女 孕妇 | 甲巯咪唑 | forbidden | 孕妇 | 妊娠和产后甲状腺疾病诊治指南：妊娠早期致畸
甲状腺功能亢进症 | 30 女 孕妇 | 丙硫氧嘧啶 | monitor | 孕妇 | 妊娠和产后甲状腺疾病诊治指南：妊娠早期用丙硫氧嘧啶
甲状腺功能亢进症 | 40 男 肝功能不全者 | 丙硫氧嘧啶 | forbidden | 肝功能不全者 | 丙硫氧嘧啶片说明书：严重肝功能损害者禁用
甲状腺功能亢进症 | 40 男 哮喘患者 | 普萘洛尔 | forbidden | 哮喘患者 | 盐酸普萘洛尔片说明书：支气管哮喘者禁用
甲状腺结节 | 60 男 心力衰竭患者 | 左甲状腺素钠 | reduce | 心力衰竭患者 | 左甲状腺素钠片说明书：心功能不全者小剂量开始
甲状腺结节 | 30 女 孕妇 | 左甲状腺素钠 | suitable | | 左甲状腺素钠片说明书：妊娠期应当继续用
流行性感冒 | 50 男 肾功能不全者 | 奥司他韦 | reduce | 肾功能不全者 | 磷酸奥司他韦胶囊说明书：肌酐清除率低者减量
流行性感冒 | 30 女 孕妇 | 奥司他韦 | suitable | | 流行性感冒诊疗方案：孕妇用奥司他韦
流行性感冒 | 30 女 孕妇 | 玛巴洛沙韦 | forbidden | 孕妇 | 玛巴洛沙韦片说明书：妊娠期避免使用
慢性乙型肝炎 | 40 男 肾功能不全者 | 恩替卡韦 | reduce | 肾功能不全者 | 恩替卡韦片说明书：肌酐清除率低于50者减量
慢性乙型肝炎 | 40 男 肾功能不全者 | 替诺福韦 | reduce | 肾功能不全者 | 富马酸替诺福韦二吡呋酯片说明书：延长给药间隔
慢性乙型肝炎 | 30 女 孕妇 | 替诺福韦 | suitable | | 慢性乙型肝炎防治指南：妊娠期用替诺福韦
HIV感染 | 40 男 肾功能不全者 | 拉米夫定 | reduce | 肾功能不全者 | 拉米夫定片说明书：肌酐清除率低于50者减量
结直肠癌 | 60 男 肾功能不全者 | 卡培他滨 | reduce | 肾功能不全者 | 卡培他滨片说明书：中度肾功能损害者减量四分之一
结直肠癌 | 60 男 服用抗凝药者 | 卡培他滨 | monitor | 服用抗凝药者 | 卡培他滨片说明书：与华法林同用须监测凝血
抑郁症 | 60 男 服用抗凝药者 | 舍曲林 | monitor | 服用抗凝药者 | 盐酸舍曲林片说明书：与华法林同用监测凝血酶原时间
抑郁症 | 30 男 癫痫患者 | 舍曲林 | monitor | 癫痫患者 | 盐酸舍曲林片说明书：癫痫患者慎用并监测
惊恐障碍 | 30 女 孕妇 | 帕罗西汀 | forbidden | 孕妇 | 盐酸帕罗西汀片说明书：妊娠早期增加先天畸形
产后抑郁 | 30 女 哺乳期妇女 | 舍曲林 | monitor | 哺乳期妇女 | 盐酸舍曲林片说明书：哺乳期权衡利弊并观察婴儿
妊娠期糖尿病 | 30 女 孕妇 | 门冬胰岛素 | suitable | | 妊娠期高血糖诊治指南：血糖不达标用胰岛素
妊娠期糖尿病 | 30 女 孕妇 肾功能不全者 | 门冬胰岛素 | reduce | 肾功能不全者 | 说明书：肾功能不全者需要量减少
急性乳腺炎 | 28 女 哺乳期妇女 | 头孢氨苄 | suitable | | 哺乳期乳腺炎诊治指南：一代头孢可用
2型糖尿病 | 60 男 心力衰竭患者 | 达格列净 | suitable | | 达格列净片说明书：也用于心力衰竭
2型糖尿病 | 60 男 肾功能不全者 | 二甲双胍 | forbidden | 肾功能不全者 | 盐酸二甲双胍片说明书：中重度肾功能不全者禁用
湿疹 | 30 男 | 阿莫西林 | unsuited | | 湿疹没有感染时不用抗菌药
"""

# condition | patient | main drugs, the first choice first | adjuncts
CHOICES = """
带状疱疹 | 60 男 肾功能不全者 | 伐昔洛韦 泛昔洛韦 阿昔洛韦 | 加巴喷丁 甲钴胺
盆腔炎 | 30 女 | 头孢曲松 左氧氟沙星 | 多西环素 甲硝唑
盆腔炎 | 30 女 头孢过敏者 | 左氧氟沙星 | 多西环素 甲硝唑
社区获得性肺炎 | 40 男 青霉素过敏者 | 左氧氟沙星 头孢呋辛酯 |
急性中耳炎 | 16 男 青霉素过敏者 | 头孢克洛 | 布洛芬
高血压病 | 38 女 孕妇 | 拉贝洛尔 氨氯地平 |
黄褐斑 | 30 女 孕妇 | | 维生素E软胶囊
勃起功能障碍 | 55 男 服用硝酸酯类药物者 | | 睾酮凝胶
勃起功能障碍 | 55 男 心力衰竭患者 | |
痛风 | 50 男 肾功能不全者 | 甲泼尼龙片 | 非布司他
支气管哮喘 | 60 男 心力衰竭患者 | 布地奈德吸入剂 孟鲁司特 | 沙丁胺醇气雾剂
急性胃肠炎 | 40 男 肾功能不全者 | 口服补液盐Ⅲ | 蒙脱石散 山莨菪碱
痤疮 | 14 男 轻 | 阿达帕林凝胶 过氧苯甲酰凝胶 |
痤疮 | 14 男 重 | 异维A酸软胶囊 阿达帕林凝胶 过氧苯甲酰凝胶 |
尖锐湿疣 | 30 女 孕妇 | |
流行性感冒 | 30 女 孕妇 | 奥司他韦 | 对乙酰氨基酚
2型糖尿病 | 60 男 心力衰竭患者 | 达格列净 阿卡波糖 二甲双胍 |
"""


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]


def case_of(condition: str, patient: str) -> Case:
    age, sex, *rest = patient.split()
    severity = rest.pop() if rest and rest[-1] in ("轻", "重") else ""
    return Case(CONDITIONS[condition], int(age), sex, "我", {}, "三天", {}, tuple(rest), severity, severity and "是")


def wrong(text: str) -> list[str]:
    """The rows whose verdict the table does not share."""
    found = []
    for condition, patient, drug, verdict, circumstance, source in rows(text):
        got, why = case_of(condition, patient).verdict(drug)
        if got != verdict or (got != "unsuited" and why != circumstance) or not source:
            found.append(f"{condition} | {patient} | {drug}: {got} {why}, expected {verdict}: {source}")
    return found


def test_verdicts_are_those_of_labels_and_guidelines():
    assert len(rows(ROWS)) >= 60 and wrong(ROWS) == []


def test_a_wrong_verdict_is_seen(monkeypatch):
    assert wrong("带状疱疹 | 60 男 肾功能不全者 | 泛昔洛韦 | forbidden | 肾功能不全者 | 没有这样的说明书") != []
    old = replace(DRUGS["泛昔洛韦"], forbidden=("孕妇", "哺乳期妇女", "肾功能不全者"), reduce=())
    monkeypatch.setitem(DRUGS, "泛昔洛韦", old)  # "reduce the dose" written as "must not"
    assert [line.split(":")[0] for line in wrong(ROWS)] == ["带状疱疹 | 60 男 肾功能不全者 | 泛昔洛韦"]


@pytest.mark.parametrize("row", rows(CHOICES), ids=lambda row: f"{row[0]} {row[1]}")
def test_what_suits_and_what_only_helps_beside_it(row):
    condition, patient, main, adjuncts = row
    case = case_of(condition, patient)
    assert (case.suitable, sorted(case.adjuncts)) == (main.split(), sorted(adjuncts.split()))


def test_a_verdict_names_the_strictest_reason_first():
    both = case_of("痤疮", "25 女 孕妇 轻")
    assert both.verdict("异维A酸软胶囊") == ("forbidden", "孕妇")  # although it is also unsuited
    assert both.avoided == ["异维A酸软胶囊", "阿达帕林凝胶"] and both.reason_against("阿达帕林凝胶") == "孕妇"
    child = case_of("手足口病", "1 男")
    assert child.verdict("布洛芬") == ("monitor", "2岁以下幼儿") and child.suitable[0] == "对乙酰氨基酚"
    two = case_of("荨麻疹", "30 女 孕妇 肾功能不全者")
    assert two.verdict("西替利嗪") == ("reduce", "肾功能不全者")  # before "monitor", whatever was said first


def test_a_healthy_patient_is_offered_a_main_drug_of_every_illness():
    for condition in CONDITIONS.values():
        for age in condition.ages:
            for severity in condition.severity or ("",):
                patient = case_of(
                    condition.name, f"{age} {condition.sex or '男'} {' '.join(condition.always)} {severity}"
                )
                assert patient.suitable, (condition.name, age, severity)
