"""AI feedback (HuatuoGPT, section 3.2 and appendix A.4): a language model ranks answers in place of people."""
