"""From reviews to the prompt that asks for their summary, and back: the inverse is exact.

Every feature of a summary can thus be measured from (prompt, response) alone, so that rewards, judges, sampling and
training work on plain preference records and on any response that a policy writes.
"""

from collections.abc import Iterable, Sequence

from pydantic import Field, field_validator

from domains.ecommerce.products import Product
from domains.ecommerce.review_texts import cut_review, one_line
from domains.ecommerce.selection import select_reviews
from shared.errors import DataError
from shared.recipes import Component
from shared.records import Message

BULLET = "- "
# Short enough not to be taken for a title that groups share (`lint.shared_line_characters`).
HEAD = "Reviews:"
INSTRUCTION = (
    "Write one summary of these reviews in about 80 words. Cover what several reviewers mention, with the good and the "
    "bad, and say nothing that is not in the reviews."
)


class SummaryPrompt(Component):
    """How reviews are put before a model.

    Attributes:
        head: what stands above the reviews; may be empty.
        instruction: what stands below them.
        reviews_in_prompt: most reviews of one prompt, chosen as `domains.ecommerce.selection` says; null takes all.
        review_chars: longest review in a prompt, in characters; longer ones are cut at the end of a sentence or word.
            Null cuts none.
    """

    head: str = HEAD
    instruction: str = Field(default=INSTRUCTION, min_length=1)
    reviews_in_prompt: int | None = Field(default=8, ge=1)
    review_chars: int | None = Field(default=600, ge=20)

    @field_validator("head", "instruction")
    @classmethod
    def _no_bullets(cls, text: str) -> str:
        if any(line.startswith(BULLET) for line in text.split("\n")):
            raise ValueError(f"must have no line that begins with {BULLET!r}, which marks a review")
        return text


def prompt_of(reviews: Iterable[str], settings: SummaryPrompt | None = None) -> tuple[Message, ...]:
    """One user message: the head, a line for every review, an empty line and the instruction.

    Args:
        reviews: the texts, none empty; white space within them is collapsed, all of them are written.
        settings: the wording.

    Raises:
        ValueError: there is no review, or an empty one.
    """
    wording = settings or SummaryPrompt()
    lines = [BULLET + one_line(review) for review in reviews]
    if not lines or any(line == BULLET for line in lines):
        raise ValueError("a prompt needs reviews, none of them empty")
    head = [wording.head] if wording.head else []
    return (Message("user", "\n".join([*head, *lines, "", wording.instruction])),)


def reviews_of(prompt: Sequence[Message]) -> tuple[str, ...]:
    """The reviews of a prompt that `prompt_of` made; whatever stands before its last user message is passed over.

    Raises:
        DataError: it holds none.
    """
    for message in reversed(prompt):
        if message.role == "user":
            lines = message.content.split("\n")
            if reviews := tuple(line[len(BULLET) :] for line in lines if line.startswith(BULLET)):
                return reviews
            break
    raise DataError(
        f"a prompt holds no reviews (no line starts with {BULLET!r}): give prompts of the e-commerce data stage."
    )


def prompt_reviews(
    reviews: Sequence[str], ratings: Sequence[float] | None, settings: SummaryPrompt | None = None
) -> tuple[str, ...]:
    """The reviews of one product that stand in its prompt, in the order given, cut where they are too long."""
    wording = settings or SummaryPrompt()
    chosen = select_reviews(reviews, ratings, wording.reviews_in_prompt)
    return tuple(cut_review(reviews[number], wording.review_chars) for number in chosen)


def product_prompt(product: Product, settings: SummaryPrompt | None = None) -> tuple[Message, ...]:
    """The prompt of a product: the same that its preference pairs have. Raises ValueError where it has no review."""
    return prompt_of(prompt_reviews(product.reviews, product.ratings, settings), settings)
