"""A command that only tells a mistake, or what would run, waits for no library that only training needs."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("domain", ["counseling", "ecommerce", "translation"])
def test_a_pipeline_is_planned_without_torch(domain: str) -> None:
    code = (
        f"import sys, domains.{domain}.pipeline; "
        "print(*sorted({'torch', 'transformers', 'spacy', 'nltk', 'mlflow'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
