"""Lightning's callback where the Trainer has put the module on a GPU."""

from __future__ import annotations

from pathlib import Path

from lightning_modules import loader, module_of, ours, package
from needed import need
from steadylr.core.ramp import Ramp

need("lightning")


def test_the_callback_tests_on_the_gpu(tmp_path: Path) -> None:
    """Where the Trainer trains; the fit goes on there."""
    finder = ours().LRFinderCallback(Ramp(1e-4, 1.0, 40), set_lr=False)
    module = module_of()
    trainer = package().Trainer(
        accelerator="gpu",
        devices=1,
        max_epochs=1,
        callbacks=[finder],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, loader())
    assert finder.result is not None
    assert len(finder.result.curve) > 10
    assert len(module.epochs) == 1
