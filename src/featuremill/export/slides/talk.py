"""What whoever presents a run says of it: a title, a name, the context."""

from dataclasses import dataclass, fields

from featuremill.errors import ConfigError

_MOST = {"title": 70, "author": 70, "context": 600}
"""Characters that fit on the slide."""


@dataclass(frozen=True)
class Talk:
    """What a run does not know of its presentation; what is empty is left out or made up for.

    Parameters
    ----------
    title : str
        Title of the first slide, of at most 70 characters; by default from the name of the source.
    author : str
        Who presents, of at most 70 characters.
    context : str
        Situation and problem in a few sentences, of at most 600 characters; by default the number
        of images and classes.

    Raises
    ------
    ConfigError
        If a text is longer than its slide has room for.
    """

    title: str = ""
    author: str = ""
    context: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            length = len(getattr(self, field.name))
            if length > _MOST[field.name]:
                raise ConfigError(
                    f"--{field.name} has {length} characters, the slide has room for"
                    f" {_MOST[field.name]}",
                    "Shorten it.",
                )
