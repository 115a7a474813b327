"""The public names."""

import subprocess
import sys

import pytest

import steadylr


def test_every_public_name_is_there():
    """Each name in __all__ can be had, and its home module defines it."""
    for name in steadylr.__all__:
        value = getattr(steadylr, name)
        assert value.__module__.startswith("steadylr.")
        assert name in dir(steadylr)


def test_an_unknown_name_is_an_attribute_error():
    """A name that isn't public raises AttributeError and names itself."""
    with pytest.raises(AttributeError, match="no attribute 'rang_test'"):
        _ = steadylr.rang_test


def test_importing_the_package_imports_no_heavy_library():
    """import steadylr loads neither torch nor numpy: they come with the first name that needs them."""
    code = "import sys, steadylr; print(sorted({'torch', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_training_imports_no_library_that_only_some_users_have():
    """Neither Lightning nor timm, and not what Fabric would load beside them: torchmetrics and transformers."""
    code = (
        "import sys, steadylr, steadylr.huggingface; steadylr.range_test; import steadylr.training.build; "
        "print(sorted({'lightning', 'pytorch_lightning', 'timm', 'torchmetrics', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
