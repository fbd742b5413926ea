"""How an option takes several names."""

from collections.abc import Sequence

import tyro


def names(metavar: str, known: Sequence[str] = ()) -> tyro.constructors.PrimitiveConstructorSpec[tuple[str, ...]]:
    """How several names are read, with spaces or commas between them: `a b` and `a,b`."""

    def read(words: list[str]) -> tuple[str, ...]:
        names = tuple(name for word in words for name in word.split(",") if name)
        if not names:
            raise ValueError("it needs at least one name")
        for name in names:
            if known and name not in known:
                raise ValueError(f"there is no {name!r}; there is {', '.join(known)}")
        return names

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"{metavar} [{metavar} ...]",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=list,
    )
