"""torch-lr-finder's iterators: pairs of inputs and labels from a DataLoader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader


class DataLoaderIter:
    """Pairs (inputs, labels) from a loader's batches; a subclass says how with inputs_labels_from_batch."""

    def __init__(self, data_loader: Any) -> None:
        self.data_loader = data_loader
        self._iterator = iter(data_loader)

    @property
    def dataset(self) -> Any:
        """The loader's data set."""
        return self.data_loader.dataset

    def inputs_labels_from_batch(self, batch_data: Any) -> tuple[Any, Any]:
        """Inputs and labels of one batch: its first two parts, unless a subclass knows better.

        Raises:
            ValueError: a batch that is neither a list nor a tuple.
        """
        if not isinstance(batch_data, list | tuple):
            raise ValueError(
                f"a batch must be a list or tuple that starts with inputs and labels; got {type(batch_data).__name__}: "
                f"override inputs_labels_from_batch in a subclass of {type(self).__name__}"
            )
        inputs, labels, *_ = batch_data
        return inputs, labels

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self

    def __next__(self) -> tuple[Any, Any]:
        return self.inputs_labels_from_batch(next(self._iterator))


class TrainDataLoaderIter(DataLoaderIter):
    """Starts the loader again when it has run out, so that it never ends; with auto_reset=False it ends."""

    def __init__(self, data_loader: Any, auto_reset: bool = True) -> None:
        super().__init__(data_loader)
        self.auto_reset = auto_reset

    def __next__(self) -> tuple[Any, Any]:
        try:
            return super().__next__()
        except StopIteration:
            if not self.auto_reset:
                raise
        self._iterator = iter(self.data_loader)
        return super().__next__()


class ValDataLoaderIter(DataLoaderIter):
    """Ends when the loader does; iter() starts it again once it has ended."""

    def __init__(self, data_loader: Any) -> None:
        super().__init__(data_loader)
        self._ended = False

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        if self._ended:
            self._iterator = iter(self.data_loader)
            self._ended = False
        return self

    def __next__(self) -> tuple[Any, Any]:
        try:
            return super().__next__()
        except StopIteration:
            self._ended = True
            raise


def pairs_of(loader: Any, kind: type[DataLoaderIter], name: str) -> Any:
    """A loader as pairs, made anew; one that is such an iterator already goes on where it is."""
    if isinstance(loader, DataLoader):
        return kind(loader)
    if isinstance(loader, kind):
        return loader
    raise ValueError(
        f"`{name}` has unsupported type: {type(loader).__name__}. Expected a torch.utils.data.DataLoader or a "
        f"{kind.__name__}"
    )
