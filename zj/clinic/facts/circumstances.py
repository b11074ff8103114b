"""What forbids a drug, and how patients mention it."""

from __future__ import annotations

from zj.clinic.table import Circumstance

_ALL = (
    Circumstance("孕妇", "怀孕三个月了/正怀着孕/怀孕五个多月了", "女", (20, 43)),
    Circumstance("哺乳期妇女", "还在喂母乳/正在哺乳期/产后还在给宝宝喂奶", "女", (20, 43)),
    Circumstance("青霉素过敏者", "对青霉素过敏/以前打青霉素起过疹子/青霉素皮试是阳性"),
    Circumstance("头孢过敏者", "对头孢过敏/吃头孢会起皮疹"),
    Circumstance("磺胺过敏者", "对磺胺类药过敏/以前吃磺胺药过敏过"),
    Circumstance("阿司匹林过敏者", "对阿司匹林过敏/吃阿司匹林会喘", ages=(12, 99)),
    Circumstance("消化性溃疡患者", "有胃溃疡/得过十二指肠溃疡，现在还时不时胃痛", ages=(18, 99)),
    Circumstance("肝功能不全者", "肝功能不太好/转氨酶一直偏高", ages=(18, 99)),
    Circumstance("肾功能不全者", "肾功能不好/有慢性肾病，肌酐偏高", ages=(18, 99)),
    Circumstance("青光眼患者", "有青光眼/得过青光眼，一直在点眼药水", ages=(40, 99)),
    Circumstance("哮喘患者", "有哮喘/从小就有哮喘", ages=(5, 99)),
    Circumstance("高血压患者", "有高血压/血压一直偏高，在吃降压药", ages=(35, 99)),
    Circumstance("心力衰竭患者", "有心衰/以前因为心衰住过院", ages=(50, 99)),
    Circumstance("前列腺增生患者", "有前列腺增生/前列腺肥大，排尿费劲", "男", (50, 99)),
    Circumstance("糖尿病患者", "有糖尿病/血糖高，在吃降糖药", ages=(30, 99)),
    Circumstance("癫痫患者", "有癫痫/以前发作过癫痫", ages=(5, 99)),
    Circumstance("蚕豆病患者", "有蚕豆病/查出来有蚕豆病"),
    Circumstance("服用抗凝药者", "在吃华法林/一直在吃抗凝药", ages=(45, 99)),
    Circumstance("服用硝酸酯类药物者", "有心绞痛，随身带着硝酸甘油/在吃治心绞痛的硝酸酯类药", ages=(45, 99)),
    Circumstance("皮肤破溃感染者", "患处已经抓破，还流脓/患处皮肤破了，有点化脓"),
    Circumstance("2岁以下幼儿", "还不到两岁", ages=(0, 1), by_age=True),
    Circumstance("8岁以下儿童", "还不到八岁", ages=(0, 7), by_age=True),
    Circumstance("12岁以下儿童", "还不到十二岁", ages=(0, 11), by_age=True),
    Circumstance("18岁以下者", "还没满十八岁", ages=(0, 17), by_age=True),
)
CIRCUMSTANCES = {circumstance.name: circumstance for circumstance in _ALL}

# Contraindications that labels name and that no patient of this clinic has.
UNMET = (
    *("对本品过敏者", "低血糖发作者", "便秘者", "留置静脉导管者", "全身真菌感染者", "半乳糖血症患者", "未绝经者"),
    *("喹诺酮过敏者", "氨基糖苷过敏者", "碘过敏者", "芝麻过敏者", "花粉过敏者", "百草枯中毒者"),
)
