"""Language models behind one interface: an endpoint, a model of this project, the synthetic clinic."""

from zj.llm.chat import ChatModel, ChatReply, ChatRequest, Message, ask

__all__ = ["ChatModel", "ChatReply", "ChatRequest", "Message", "ask"]
