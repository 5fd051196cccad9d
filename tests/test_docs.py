"""What the documentation says about images is what the library does with them."""

from __future__ import annotations

from pathlib import Path

from onlineml.data.images.decode import POLICIES

PAGE = Path(__file__).parents[1] / "docs" / "images.md"


def test_the_page_lists_every_policy_in_its_own_words() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]

    assert rows == [f"| `{name}` | {policy.outcome} | {policy.text} |" for name, policy in POLICIES.items()]
