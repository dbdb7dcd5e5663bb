"""What a pipeline run is asked to do; the parameter of every domain's flow, so deployments show it as a form."""

from pydantic import BaseModel, ConfigDict, Field


class RunRequest(BaseModel):
    """One pipeline run."""

    model_config = ConfigDict(extra="forbid")

    data: str | None = Field(
        default=None, description="File or folder with the data, or hub:ID; the packaged sample if empty"
    )
    recipe: str = Field(default="cpu", description="Name of a recipe of the domain, or path to a YAML file")
    overrides: list[str] = Field(default_factory=list, description="Recipe keys to change, as key.sub=value")
    fresh: bool = Field(default=False, description="Do all the work again, although finished results exist")
    accept_code_change: bool = Field(
        default=False,
        description="Reuse results that differ in nothing but valign's own code, and record that they were",
    )
    evaluate: str | None = Field(
        default=None, description="Only evaluate this model: hub id, packaged name, folder, name@alias"
    )
    promote: bool = Field(default=True, description="Make the model the champion where the gate says so")
