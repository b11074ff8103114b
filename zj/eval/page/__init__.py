"""One page on a run or a whole line: data, curves, gold against proxy, evaluations, answers side by side."""
