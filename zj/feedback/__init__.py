"""What people and models say of answers: ranking by doctors (Zhongjing, "Human Feedback for Medicine"), by a language
model (HuatuoGPT, "RL with AI Feedback")."""
