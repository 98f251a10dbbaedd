"""A program with thingstead inside, and no server: `kennel DIRECTORY` takes in a dog and says who is there."""

import asyncio
import sys

import thingstead
from thingstead import locked, stored


def even(value: int) -> None:
    """A validator of our own."""
    if value % 2:
        raise ValueError("must be even")


class Dog(thingstead.Object):
    """What is kept of a dog: `legs` and `chip`, and all that every object has. `mood` is not kept."""

    legs: int = stored(4, min=0, max=4, check=even)
    chip: str = locked("", required=True)
    toys: list[str] = stored(factory=list)
    mood: str = "calm"


async def visit(directory: str) -> None:
    """Each visit takes in one more dog."""
    async with thingstead.open(directory, classes=[Dog]) as para:
        number = await para.search.get_count("dog") + 1
        rex = Dog(name=f"Rex {number}", chip=f"c{number}", toys=["ball"])
        rex.add_tags("Good Boy!")
        await rex.create(para.root)
        rex.legs, rex.chip = 2, "forged"  # the chip is locked
        await rex.update()
        print(rex.name, rex.legs, rex.chip, rex.tags)
        print(await para.root.validate(Dog(legs=3)))
        found = await para.search.find_tagged("dog", ["good-boy"])
        print(len(found), "good boys, healthy:", para.is_healthy())


def main() -> None:
    """The command `kennel`."""
    asyncio.run(visit(sys.argv[1] if len(sys.argv) > 1 else "data"))


if __name__ == "__main__":
    main()
