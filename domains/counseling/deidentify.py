"""What de-identification must know of counselling: lines that save lives stay readable."""

from shared.deidentify.config import DeidentifyConfig

# Public services of the United States, Canada and the United Kingdom; a reply that names one must still name it.
CRISIS_LINES = (
    "911",
    "988",
    "112",
    "999",
    "741741",  # Crisis Text Line
    "85258",  # Shout
    "116 123",  # Samaritans
    "1-800-273-8255",  # the Lifeline's number before 988
    "1-800-273-TALK",
    "1-800-799-7233",  # domestic violence
    "1-800-799-SAFE",
    "1-800-656-4673",  # sexual assault
    "1-800-656-HOPE",
    "1-800-422-4453",  # child abuse
    "1-866-488-7386",  # Trevor Project
    "1-877-565-8860",  # Trans Lifeline
    "1-877-330-6366",
    "1-800-662-4357",  # substance use
    "1-800-662-HELP",
    "1-800-931-2237",  # eating disorders
    "1-800-950-6264",  # mental illness alliance
    "1-800-668-6868",  # Kids Help Phone
    "988lifeline.org",
    "suicidepreventionlifeline.org",
    "crisistextline.org",
    "thetrevorproject.org",
    "translifeline.org",
    "thehotline.org",
    "rainn.org",
    "childhelp.org",
    "samhsa.gov",
)


def counseling_deidentify(config: DeidentifyConfig) -> DeidentifyConfig:
    """The recipe's configuration with the crisis lines added to its allow list."""
    return config.model_copy(update={"allow_list": tuple(dict.fromkeys((*CRISIS_LINES, *config.allow_list)))})
