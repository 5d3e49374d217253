"""The import contracts name every room, so that a new one cannot slip past them."""

import tomllib

import pytest

from tests.house.sources import PACKAGE, ROOT

NAME = "openhands_sessions"
ROOMS = {
    path.stem
    for path in PACKAGE.iterdir()
    if (path.suffix == ".py" and not path.stem.startswith("__")) or (path / "__init__.py").exists()
}
CONTRACTS = {
    contract["name"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}
BESIDE_THE_FLOORS = {"adapters", "config", "executor"}


def rooms(modules: list[str]) -> set[str]:
    return {module.removeprefix(f"{NAME}.") for module in modules}


def test_every_room_has_its_floor() -> None:
    layers = " | ".join(CONTRACTS["Nothing imports from a floor above it"]["layers"])
    floors = {room.strip(" ()") for room in layers.replace(":", "|").split("|")}
    assert floors >= ROOMS - BESIDE_THE_FLOORS, "Say in pyproject.toml on which floor the new room lies."


@pytest.mark.parametrize(
    ("contract", "side", "may"),
    [
        (
            "Adapters know ports and core only, and gateways the protocol",
            "forbidden_modules",
            {"adapters", "ports", "core", "protocol"},
        ),
        ("The configuration knows nothing of ours", "forbidden_modules", {"config"}),
        ("The executor imports nothing of ours", "forbidden_modules", {"executor"}),
        ("Only bootstrap knows adapters", "source_modules", {"bootstrap", "adapters"}),
        (
            "Only bootstrap and the command line know the configuration",
            "source_modules",
            {"bootstrap", "cli", "config"},
        ),
    ],
)
def test_each_contract_names_every_room_that_it_binds(contract: str, side: str, may: set[str]) -> None:
    named = rooms(CONTRACTS[contract][side])
    missing = ROOMS - may - named - {"executor", "adapters"}
    assert not missing, f"Add these rooms to {side} of {contract!r} in pyproject.toml."
