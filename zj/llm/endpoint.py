"""Any endpoint that speaks OpenAI's protocol, by the official client (extra [llm]).

    OPENAI_API_KEY=… [OPENAI_BASE_URL=http://127.0.0.1:8000/v1] python scripts/ai_feedback.py --judge endpoint …

Key and address come from the environment. They are in no message: of an error the status and the service's error code
are shown, never its text, which may repeat a key.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from zj.llm.chat import REFUSED, ChatReply, ChatRequest, Message, estimate_tokens
from zj.llm.pace import Pace

LONGEST_WAIT = 60.0  # seconds between two attempts, unless the service asks for more
FATAL = {
    401: "the key is not accepted",
    402: "nothing is left to spend",
    403: "the key does not permit it",
    404: "no such model or address",
}
RETRIED = {408, 409, 425, 429}  # and 500 and above


class Failure(Exception):
    """An attempt without a reply. `wait`: seconds that the service asks for; None: none."""

    def __init__(self, what: str, wait: float | None = None):
        super().__init__(what)
        self.wait = wait


class Endpoint:
    """A model of a service. `counts` has the failed attempts by kind, and the requests that it refused."""

    def __init__(
        self,
        name: str,
        *,
        concurrency: int = 8,
        pace: Pace | None = None,
        timeout: float = 600.0,
        attempts: int = 8,
        first_wait: float = 1.0,
    ):
        """`attempts` at a request, the wait after a failed one doubles from `first_wait` seconds on. ValueError
        without the extra [llm] or a key."""
        self.name, self.concurrency, self.pace = name, concurrency, pace or Pace()
        self.attempts, self.first_wait = attempts, first_wait
        self.client = _client(timeout)
        self.limit = "max_tokens"  # as servers know it; OpenAI's newer models have another name
        self.counts, self.lock = Counter[str](), threading.Lock()
        self.stopped = threading.Event()

    def replies(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, ChatReply]]:
        """As `ChatModel.replies`. Ctrl-C lets those at work end first; a second one does not."""
        source, at_work = enumerate(requests), dict[Future[ChatReply], int]()
        failed: BaseException | None = None
        self.stopped.clear()
        with ThreadPoolExecutor(self.concurrency) as threads:
            try:
                while True:
                    while failed is None and len(at_work) < self.concurrency and (following := next(source, None)):
                        at_work[threads.submit(self._reply, following[1])] = following[0]
                    if not at_work:
                        break
                    try:
                        done, _ = wait(at_work, return_when=FIRST_COMPLETED)
                    except KeyboardInterrupt as interrupt:
                        if failed is not None:
                            raise
                        failed = interrupt
                        self.stopped.set()
                        print(f"\nwaiting for {len(at_work)} replies that are paid for", file=sys.stderr, flush=True)
                        continue
                    for future in done:
                        number, error = at_work.pop(future), future.exception()
                        if error is None:
                            yield number, future.result()
                        else:
                            failed = failed or error
                            self.stopped.set()
            finally:
                self.stopped.set()
        if failed is not None:
            raise failed

    def _reply(self, request: ChatRequest) -> ChatReply:
        """The reply, after as many attempts as it takes. ValueError if none is left or none would help."""
        jitter = random.Random(f"{request}/{time.monotonic()}")
        for attempt in range(self.attempts):
            start = self.pace.reserve(estimate_tokens(request.messages) + request.max_tokens)
            while (seconds := self.pace.seconds_until(start)) > 0:
                self._sleep(seconds)
            self._sleep(0)
            try:
                return self._attempt(request)
            except Failure as failure:
                self._count(str(failure))
                last = failure
            if last.wait is not None:
                self.pace.pause(last.wait)
                if last.wait > LONGEST_WAIT:
                    print(f"\n{self.name} asks for a wait of {last.wait:,.0f} seconds", file=sys.stderr, flush=True)
            elif attempt + 1 < self.attempts:
                self._sleep(min(LONGEST_WAIT, self.first_wait * 2**attempt) * (0.5 + jitter.random() / 2))
        raise ValueError(
            f"the endpoint's model {self.name}: {self.attempts} attempts at one request failed, the last by {last}; "
            "all replies that came are kept, a new run goes on"
        )

    def _sleep(self, seconds: float) -> None:
        if self.stopped.wait(seconds):
            raise ValueError("stopped before it was sent")

    def _attempt(self, request: ChatRequest) -> ChatReply:
        import openai

        limit = self.limit
        try:
            response = self.client.chat.completions.with_raw_response.create(
                model=self.name,
                messages=[{"role": role, "content": text} for role, text in request.messages],
                temperature=request.temperature,
                extra_body={limit: request.max_tokens},
            )
            return reply_of(response.http_response.content, request.messages)
        except openai.APITimeoutError:
            raise Failure("no reply in time") from None
        except openai.APIConnectionError:
            raise Failure("a broken connection") from None
        except openai.APIStatusError as error:
            if limit == "max_tokens" and error.code == "unsupported_parameter":
                self.limit = "max_completion_tokens"
                raise Failure("the older name of max_tokens", wait=0.0) from None
            return self._refusal(error.status_code, error.body, error.response.headers)

    def _refusal(self, status: int, body: Any, headers: Any) -> ChatReply:
        """What an error means: another attempt (Failure), the end (ValueError), or that this request gets no reply."""
        code = str(body.get("code")) if isinstance(body, dict) else ""
        named = f"status {status}" + (f" {code}" if re.fullmatch("[a-z_]{3,40}", code) else "")
        if status in FATAL or code == "insufficient_quota":
            why = FATAL.get(status, FATAL[402])
            raise ValueError(f"the endpoint's model {self.name}: {named}: {why}")
        if status in RETRIED or status >= 500:
            raise Failure(named, seconds_of(headers.get("retry-after-ms"), headers.get("retry-after")))
        if not self.counts[REFUSED]:
            print(f"\n{self.name} refuses a request: {named} (shown once; the report counts them)", file=sys.stderr)
        self._count(REFUSED)
        return ChatReply("", REFUSED, 0, 0)

    def _count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1


def _client(timeout: float) -> Any:
    try:
        import openai
    except ImportError:
        raise ValueError("an endpoint needs the extra [llm]: pip install -e '.[llm]'") from None
    key, address = os.environ.get("OPENAI_API_KEY", ""), os.environ.get("OPENAI_BASE_URL", "")
    if not key:
        raise ValueError("the endpoint: OPENAI_API_KEY is not set in the environment (a local server takes any)")
    if not (key.isascii() and key.isprintable()):
        raise ValueError("the endpoint: OPENAI_API_KEY has a character that no key has, such as a line end")
    if address and not address.startswith(("http://", "https://")):
        raise ValueError("the endpoint: OPENAI_BASE_URL does not begin with http:// or https://")
    return openai.OpenAI(timeout=timeout, max_retries=0)  # the attempts are counted and paced here


def reply_of(body: bytes, messages: Iterable[Message]) -> ChatReply:
    """The first choice of a completion. Failure for anything else; tokens that are not reported are estimated."""
    try:
        row = json.loads(body)
        choice = row["choices"][0]
        text, reason = choice["message"]["content"], choice.get("finish_reason")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise Failure("a reply of another form") from None
    if not isinstance(text, str | None) or (text is None and reason is None):
        raise Failure("a reply of another form")
    usage = row.get("usage") if isinstance(row.get("usage"), dict) else {}
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    estimates = (estimate_tokens(messages), estimate_tokens([("assistant", text or "")]))
    tokens = [n if type(n) is int and n >= 0 else other for n, other in zip(counts, estimates, strict=True)]
    whole = (text or "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # some services cut an emoji
    return ChatReply(whole, str(reason or "stop"), *tokens)


def seconds_of(milliseconds: str | None, retry_after: str | None) -> float | None:
    """The wait that headers ask for: a number, or a date; None if they ask for none."""
    for text, unit in ((milliseconds, 1000.0), (retry_after, 1.0)):
        if text and re.fullmatch(r"\d+(\.\d+)?", text.strip()):
            return float(text) / unit
    try:
        then = parsedate_to_datetime(retry_after or "")
    except ValueError:
        return None
    return max(0.0, (then - datetime.now(UTC)).total_seconds()) if then.tzinfo else None
