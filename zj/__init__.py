"""zj: the training line of a Chinese medical language model, by hand, in plain PyTorch."""

NOTICE = "仅供研究，不能代替医生。Research only, no substitute for a physician."  # stands below all medical text
SYNTHETIC = "合成数据，事实出自虚构的门诊。Synthetic: the truth is that of a made-up clinic."
