from __future__ import annotations

import pytest

from steadylr.run.names import check_kwargs, did_you_mean, keyword_names, nearest


def test_near_names_are_found_across_case_and_dashes() -> None:
    """ResNet-18 is near resnet18, best first."""
    assert nearest("ResNet-18", ["vgg11", "resnet18", "resnet34"])[0] == "resnet18"


def test_a_name_like_no_other_gets_the_whole_list_when_it_is_short() -> None:
    """Without a near name the message lists what is allowed, or says how many there are."""
    assert did_you_mean("zzz", ["sgd", "adamw"]) == "allowed: sgd, adamw"
    assert did_you_mean("zzz", [f"m{i}" for i in range(30)]) == "30 names are allowed, none like it"


def test_an_unknown_argument_is_refused_with_its_key() -> None:
    """The message names the full key and the nearest allowed one."""
    with pytest.raises(ValueError, match=r"optimizer\.momentun is not known; did you mean momentum\?"):
        check_kwargs({"momentun": 0.9}, {"momentum", "nesterov"}, key="optimizer")


def test_keyword_names_leave_out_what_cannot_be_a_keyword() -> None:
    """*args and **kwargs are no names."""

    def function(a: int, *args: int, b: int = 0, **kwargs: int) -> None: ...

    assert keyword_names(function, without={"a"}) == {"b"}
