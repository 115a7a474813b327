"""What each method chooses, for each task, budget and repeat, by really training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lengths_parts.lockstep import SLOTS, Lockstep
from lengths_parts.methods import METHODS, Trainer
from lengths_parts.results import Results
from lengths_parts.tasks import STEPS, task_of

BUDGETS = (2, 5, 10, 20, 50)
"""Percent of the planned training."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice.

    Args:
        task, method, budget, repeat: of what.
        lr: what was chosen; None where the method had no answer.
        spent: steps that it took.
    """

    task: str
    method: str
    budget: int
    repeat: int
    lr: float | None
    spent: int


class Choices:
    """Choices in a file, each as soon as it is made."""

    def __init__(self, path: Path) -> None:
        self._results = Results(path, num_keys=4, num_values=2)

    def __iter__(self) -> Iterator[Choice]:
        for (task, method, budget, repeat), (lr, spent) in self._results.rows.items():
            yield Choice(task, method, int(budget), int(repeat), float(lr) if lr else None, int(spent))

    def has(self, task: str, method: str, budget: int, repeat: int) -> bool:
        """Whether it has been made."""
        return (task, method, str(budget), str(repeat)) in self._results.rows

    def add(self, choice: Choice) -> None:
        """Write one down."""
        lr = "" if choice.lr is None else f"{choice.lr:.6g}"
        key = (choice.task, choice.method, choice.budget, choice.repeat)
        self._results.add(key, (lr, choice.spent))


def choose(
    choices: Choices, name: str, *, methods: Sequence[str], budgets: Sequence[int], repeats: Sequence[int]
) -> int:
    """Make the choices of a task that are missing, all side by side; give how many there were.

    Each method waits for its trainings in a thread of its own, and all trainings go in step.
    """
    asked = [
        (method, budget, repeat)
        for repeat in repeats
        for budget in reversed(budgets)  # the largest take longest
        for method in methods
        if not choices.has(name, method, budget, repeat)
    ]
    if not asked:
        return 0
    task = task_of(name)
    lockstep = Lockstep(task)

    def one(method: str, budget: int, repeat: int) -> Choice:
        steps = STEPS * budget // 100
        trainer = Trainer(lockstep, task, planned=STEPS, budget=steps, repeat=repeat)
        lr = METHODS[method](trainer)
        return Choice(name, method, budget, repeat, lr, trainer.spent)

    with ThreadPoolExecutor(2 * SLOTS) as threads:
        waiting = [threads.submit(one, *each) for each in asked]
        for future in waiting:  # written by this thread alone: a callback would run in the method's own
            lockstep.run(lambda future=future: not future.done())
            choices.add(future.result())
    return len(asked)
