"""The batches of a LightningModule: where its Trainer would take them from, and their way to the device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, cast

from steadylr.errors import InvalidValue

TRANSFER_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")


def loader_of(package: ModuleType, module: Any, data: Any) -> Iterable[Any]:
    """Whatever holds the batches; a data module is set up for it."""
    has_module = isinstance(data, package.LightningDataModule)
    if has_module:
        data.prepare_data()
        data.setup("fit")
    if data is None or has_module:
        source = data if has_module else module
        data = _train_dataloader(package, source)
        if isinstance(data, list | tuple):  # of loaders; a list that is given as data holds batches
            data = package.utilities.CombinedLoader(data, "max_size_cycle")
    if isinstance(data, Mapping):
        data = package.utilities.CombinedLoader(data, "max_size_cycle")
    is_combined = isinstance(data, package.utilities.CombinedLoader)
    return CombinedBatches(data) if is_combined else cast("Iterable[Any]", data)


def _train_dataloader(package: ModuleType, source: Any) -> Any:
    of_module = isinstance(source, package.LightningModule)
    base = package.LightningModule if of_module else package.LightningDataModule
    if type(source).train_dataloader is base.train_dataloader:
        also = ", or give a loader or a LightningDataModule" if of_module else ""
        raise InvalidValue(f"{type(source).__name__} has no train_dataloader: define it{also}")
    return source.train_dataloader()


class CombinedBatches:
    """The batches of a CombinedLoader of Lightning, without their numbers.

    Args:
        loader: the CombinedLoader.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    @property
    def iterables(self) -> Any:
        """What is combined, as it was given."""
        return self._loader.iterables

    @property
    def loaders(self) -> Sequence[Any]:
        """The loaders that are combined."""
        return cast("Sequence[Any]", self._loader.flattened)

    def __iter__(self) -> Iterator[Any]:
        for batch, _, _ in self._loader:
            yield batch


def show_loader(trainer: Any, loader: Any) -> None:
    """Let trainer.train_dataloader be what holds the batches, as in a fit."""
    shown = loader if isinstance(loader, CombinedBatches) else SimpleNamespace(iterables=loader)
    trainer.fit_loop._combined_loader = shown


def to_device(package: ModuleType, module: Any, data: Any) -> Callable[[Any], Any]:
    """The three hooks of a batch on its way to the device, each the data module's where that has its own."""
    base = package.LightningDataModule

    def owner(hook: str) -> Any:
        overridden = isinstance(data, base) and getattr(type(data), hook) is not getattr(base, hook)
        return data if overridden else module

    before, transfer, after = (getattr(owner(hook), hook) for hook in TRANSFER_HOOKS)

    def transferred(batch: Any) -> Any:
        return after(transfer(before(batch, 0), module.device, 0), 0)

    return transferred
