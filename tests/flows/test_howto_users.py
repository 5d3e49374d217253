"""`docs/howto/users-and-tokens.md`: its commands, in their order, and its settings."""

import json
import re
import sys
from pathlib import Path

import aiohttp
import pytest

from openhands_sessions.config.loading import load
from tests.support.command_line import CommandLine
from tests.support.page_shell import PageShell, variables_of
from tests.support.running_server import running_server
from tests.support.server_clients import Clients, Rest
from tests.support.socket_clients import Protocol2Client

TEXT = (Path(__file__).parents[2] / "docs" / "howto" / "users-and-tokens.md").read_text()
SECRET, MINT, USE, VERIFY, REVOKE = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
PROVIDER, PROXY = re.findall(r"```ini\n(.*?)```", TEXT, re.DOTALL)
[MAKE_KEYS] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


async def test_the_commands_of_the_page_in_their_order(data_dir: Path, tmp_path: Path) -> None:
    chosen = await PageShell(tmp_path / "choosing", {}).run(f"{SECRET} env")
    settings = dict(line.split("=", 1) for line in chosen.splitlines() if line.startswith("OHS_AUTH__"))
    assert (settings["OHS_AUTH__KIND"], len(settings["OHS_AUTH__SECRET"])) == ("tokens", 64)
    async with running_server(data_dir, settings) as server:
        shell = PageShell(tmp_path / "shell", {**settings, "OHS_DATA_DIR": str(data_dir)})
        await shell.run(MINT)
        ada, olga = ((shell.folder / f"{name}.token").read_text().strip() for name in ("ada", "olga"))
        async with Clients(server.url, key=ada) as user, Clients(server.url, key=olga) as operator:
            client, watching = user.protocol2(await user.rest.create()), operator.operator()
            await client.connect()
            await watching.connect()
            said = await shell.run(USE.replace("3000", str(server.port)))
            assert '"conversation_id"' in said
            assert "hello" in said
            assert len((await user.rest.ask("GET", "/api/conversations"))[1]["results"]) == 2
            assert (await operator.rest.ask("GET", "/api/conversations"))[1]["results"] == []
            assert await shell.run(VERIFY) == await shell.run(f"openhands-sessions tokens verify {ada}")
            await shell.run(REVOKE)
            assert (await client.until_told("ended"))["reason"] == "revoked"
            await watching.until(lambda: watching.ended == "revoked")
            assert (await operator.rest.ask("GET", "/api/conversations"))[0] == 401
            shown = CommandLine(data_dir, {"OHS_SESSION_API_KEY": ada})
            listed = await shown.run("sessions", "ls", "--server", server.url)
            assert (listed.code, "the token was revoked: ask for a new one" in listed.err) == (1, True), listed.err


async def test_keys_of_ones_own_sign_tokens_that_the_public_half_verifies(data_dir: Path, tmp_path: Path) -> None:
    shell = PageShell(tmp_path / "shell", {})
    (shell.folder / "make.py").write_text(MAKE_KEYS)
    await shell.run(f"{sys.executable} make.py")
    [key] = json.loads((shell.folder / "keys.json").read_text())["keys"]
    public = shell.folder / "public.json"
    public.write_text(json.dumps({"keys": [{name: value for name, value in key.items() if name != "d"}]}))
    settings = {**variables_of(PROVIDER), "OHS_AUTH__JWKS": str(public)}
    private = {**settings, "OHS_AUTH__JWKS": str(shell.folder / "keys.json")}
    minted = await CommandLine(data_dir, private).run("tokens", "mint", "--user", "ada", "--json")
    assert minted.code == 0, minted.err
    refused = await CommandLine(data_dir, settings).run("tokens", "mint", "--user", "ada")
    assert (refused.code, "auth.jwks holds no private key" in refused.err) == (2, True)
    token = json.loads(minted.out)["token"]
    async with running_server(data_dir, settings) as server, Rest(server.url, key=token) as rest:
        assert (await rest.ask("GET", "/api/conversations"))[0] == 200


async def test_the_settings_for_a_proxy_let_its_users_in(data_dir: Path) -> None:
    async with (
        running_server(data_dir, variables_of(PROXY)) as server,
        aiohttp.ClientSession(headers={"X-Forwarded-User": "ada"}) as http,
    ):
        client = Protocol2Client(http, server.url, "talk")
        await client.connect(create=True)
        await client.until_state("awaiting_user_input")
        await client.leave()


def test_all_settings_of_the_page_are_settings() -> None:
    for block in (PROVIDER, PROXY):
        assert load({}, variables_of(block), None).config.auth_problem is None


@pytest.mark.parametrize(
    ("words", "typed", "code", "told"),
    [
        (("verify",), "nonsense", 1, "error: the token is no signed token (a JWT)"),
        (("verify",), "", 1, "error: a token is missing"),
        (("mint", "--user", " "), "", 2, "error: user must be 1 to 128 printable characters"),
        (("mint", "--user", "ada", "--role", "root"), "", 2, "error: --role must be one of user, operator, admin"),
        (("mint", "--user", "ada", "--hours", "0"), "", 2, "error: --hours must be above 0"),
        (("mint", "--user", "ada", "--hours", "nan"), "", 2, "error: --hours must be above 0"),
        (("mint",), "", 2, "error: Missing option '--user'"),
        (("revoke",), "", 2, "error: tokens revoke needs one of --id and --user"),
        (("revoke", "--id", "x", "--user", "y"), "", 2, "needs one of --id and --user"),
        (("revoke", "--id", " "), "", 2, "error: --id must not be empty"),
    ],
)
async def test_a_wrong_call_says_what_to_do(
    data_dir: Path, words: tuple[str, ...], typed: str, code: int, told: str
) -> None:
    shell = CommandLine(data_dir, {"OHS_AUTH__SECRET": "a secret of thirty-two characters"})
    done = await shell.run("tokens", *words, typed=typed)
    assert (done.code, told in done.err, done.out) == (code, True, ""), done.err
    assert not (data_dir / "revoked_tokens.json").exists()


async def test_without_a_key_no_token_is_made_or_verified(data_dir: Path) -> None:
    for words in (("mint", "--user", "ada"), ("verify", "x")):
        done = await CommandLine(data_dir).run("tokens", *words)
        assert (done.code, "auth.secret is not set" in done.err) == (2, True), done.err
