"""Where settings come from, and what is said of wrong ones."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, strategies
from hypothesis import settings as hypothesis_settings

from openhands_sessions.config.config import Config
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.config.loading import DEFAULT, FLAGS, load, settings
from tests.house.figures import DEFAULTS

NOTHING: Mapping[str, str] = {}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ohs.toml"


def refusal(flags: Mapping[str, object], environ: Mapping[str, str] = NOTHING, file: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(flags, environ, file)
    return str(caught.value)


def test_without_anything_the_defaults_hold() -> None:
    found = load({}, {}, None)
    assert found.config == Config()
    assert set(found.origins.values()) == {DEFAULT}


def test_flags_win_over_the_environment_and_that_over_the_file(file: Path) -> None:
    file.write_text("[server]\nport = 1\nhost = '::1'\nmax_sessions = 7\n")
    found = load({"--port": 3}, {"OHS_SERVER__PORT": "2", "OHS_SERVER__HOST": "localhost"}, file)
    server = found.config.server
    assert (server.port, server.host, server.max_sessions) == (3, "localhost", 7)
    assert found.origins["server.port"] == "flag --port"
    assert found.origins["server.host"] == "environment OHS_SERVER__HOST"
    assert found.origins["server.max_sessions"] == f"file {file}:4"
    assert found.origins["log.level"] == DEFAULT


def test_the_file_is_the_one_that_the_environment_names_unless_a_flag_names_another(file: Path, tmp_path: Path) -> None:
    file.write_text("log.level = 'error'")
    other = tmp_path / "other.toml"
    other.write_text("log.level = 'debug'")
    assert load({}, {"OHS_CONFIG": str(file)}, None).config.log.level == "error"
    assert load({}, {"OHS_CONFIG": str(file)}, other).config.log.level == "debug"


def test_the_environment_outside_our_names_is_not_looked_at() -> None:
    assert load({}, {"PORT": "x", "SERVER__PORT": "x", "HOME": "/", "OHS_ACTION_ID": "a"}, None).config == Config()


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load({}, {"OHS_SERVER__PORT": ""}, None).origins["server.port"] == DEFAULT


def test_any_setting_can_be_given_as_a_flag() -> None:
    found = load({"--set agent.max_iterations": "5", "--set agent.confirmation_mode": "true"}, {}, None)
    assert found.config.agent.max_iterations == 5
    assert found.config.agent.confirmation_mode
    assert found.origins["agent.max_iterations"] == "flag --set agent.max_iterations"


def test_a_list_is_separated_by_commas_outside_the_file(file: Path) -> None:
    file.write_text("[server]\nallowed_hosts = ['a', 'b']")
    found = load({}, {"OHS_SERVER__ALLOWED_ORIGINS": "http://a, http://b"}, file)
    assert found.config.server.allowed_hosts == ("a", "b")
    assert found.config.server.allowed_origins == ("http://a", "http://b")


@pytest.mark.parametrize("value", ["http://agents.example", "agents.example:80", '["agents.example"]', "a b", "*"])
def test_the_name_of_a_host_is_no_address(value: str) -> None:
    assert "must be a list of host names, without scheme and port" in refusal({"--set server.allowed_hosts": value})
    found = load({"--set server.allowed_hosts": "Agents.Example, 10.0.0.1,::1"}, {}, None)
    assert found.config.server.allowed_hosts == ("agents.example", "10.0.0.1", "::1")


def test_rules_are_tables_in_the_file_and_json_outside(file: Path) -> None:
    file.write_text('[agent]\nconfirmation_rules = [{tool = "x", decision = "deny"}]\n')
    [rule] = load({}, {}, file).config.agent.confirmation_rules
    assert (rule.tool, rule.pattern, rule.risk, rule.decision) == ("x", None, "any", "deny")
    variable = "OHS_AGENT__CONFIRMATION_RULES"
    [rule] = load({}, {variable: '[{"pattern": "a, b", "decision": "ask"}]'}, file).config.agent.confirmation_rules
    assert (rule.tool, rule.pattern, rule.decision) == ("*", "a, b", "ask")
    for wrong in ("deny", '[{"decision": "no"}]', '[{"decision": "ask", "tools": "x"}]'):
        assert refusal({}, {variable: wrong}).startswith(
            f"{variable}: agent.confirmation_rules must be a list of tables"
        )


def test_quotas_are_tables_in_the_file_and_json_outside(file: Path) -> None:
    file.write_text('[[quotas]]\nmodels = "openai/*"\ntokens = 5\n\n[[quotas]]\ndollars = 0.5\n')
    first, second = load({}, {}, file).config.quotas
    assert (first.models, first.tokens, first.dollars, first.conversations) == ("openai/*", 5, None, None)
    assert (second.models, second.dollars) == ("*", 0.5)
    [only] = load({}, {"OHS_QUOTAS": '[{"conversations": 3}]'}, file).config.quotas
    assert only.conversations == 3
    for wrong in ("5", "{}", "[{}]", '[{"models": "x"}]', '[{"tokens": 0}]', '[{"dollars": NaN}]', '[{"dollars": -1}]'):
        assert refusal({}, {"OHS_QUOTAS": wrong}).startswith(
            "OHS_QUOTAS: quotas must be a list of tables with at least"
        )


def test_a_home_folder_is_meant_by_its_sign() -> None:
    found = load({"--data-dir": "~/data"}, {}, None)
    assert found.config.data_dir == Path.home() / "data"


def test_configuration_made_in_a_program_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OHS_SERVER__PORT", "1")
    assert Config().server.port == 3000


@pytest.mark.parametrize(
    ("flags", "environ", "name", "nearest"),
    [
        ({"--set server.prot": 1}, {}, "'server.prot'", "'server.port'"),
        ({"--set port": 1}, {}, "'port'", "'server.port'"),
        ({}, {"OHS_SERVER__PROT": "1"}, "OHS_SERVER__PROT", "'OHS_SERVER__PORT'"),
        ({}, {"OHS_SERVRE__PORT": "1"}, "OHS_SERVRE__PORT", "'OHS_SERVER__PORT'"),
        ({}, {"OHS_SERVER": "{}"}, "OHS_SERVER", "'OHS_SERVER__PORT'"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_the_nearest(
    flags: Mapping[str, object], environ: Mapping[str, str], name: str, nearest: str
) -> None:
    said = refusal(flags, environ)
    assert name in said
    assert said.endswith(f"; did you mean {nearest}?")


def test_a_name_that_is_like_no_other_is_an_error_all_the_same() -> None:
    assert refusal({}, {"OHS_ZZZ": "1"}) == "OHS_ZZZ: this variable sets nothing"


@pytest.mark.parametrize(
    ("text", "line", "key", "nearest"),
    [
        ("[server]\nprot = 1", 2, "server.prot", "server.port"),
        ("# a comment\n\n[servre]\nport = 1", 4, "servre.port", "server.port"),
        ("dat_dir = 'x'", 1, "dat_dir", "data_dir"),
        ("server = 3", 1, "server", "server.port"),
        ("[llm.more]\nmodel = 'x'", 2, "llm.more.model", "llm.model"),
    ],
)
def test_an_unknown_key_of_the_file_is_named_with_its_line(
    file: Path, text: str, line: int, key: str, nearest: str
) -> None:
    file.write_text(text)
    assert refusal({}, {}, file) == f"{file}:{line}: there is no setting {key!r}; did you mean {nearest!r}?"


def test_an_empty_table_that_is_none_of_ours_is_noticed(file: Path) -> None:
    file.write_text("[server]\n[sandbox]\n")
    assert refusal({}, {}, file) == f"{file}:2: there is no setting 'sandbox'"


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("server.port", "70000", "a whole number from 0 to 65535"),
        ("server.port", "eighty", "a whole number from 0 to 65535"),
        ("server.max_sessions", "0", "a whole number of at least 1"),
        ("server.idle_timeout", "inf", "a number above 0"),
        ("server.idle_timeout", "nan", "a number above 0"),
        ("agent.confirmation_mode", "maybe", "`true` or `false`"),
        ("log.level", "loud", "`debug` or `info` or `warning` or `error`"),
        ("runtime.kind", "podman", "`local` or `docker`"),
        ("runtime.executor_idle_timeout", "-1", "a number of at least 0"),
    ],
)
def test_a_wrong_value_is_told_with_its_place_and_what_it_must_be(file: Path, key: str, value: str, rule: str) -> None:
    table, name = key.split(".")
    file.write_text(f"[{table}]\n{name} = {value!r}")
    said = f"{key} must be {rule}, not {value!r}"
    assert refusal({}, {}, file) == f"{file}:2: {said}"
    variable = settings()[key].variable
    assert refusal({}, {variable: value}) == f"{variable}: {said}"
    assert refusal({f"--set {key}": value}) == f"--set {key}: {said}"


@pytest.mark.parametrize("secret", ["hunter2\n", "hünter2", "null", " "])
def test_a_secret_that_cannot_be_used_is_not_repeated(secret: str) -> None:
    said = refusal({"--session-api-key": secret})
    assert said == "--session-api-key: server.session_api_key must be a text of printable ASCII characters"


def test_an_encryption_key_is_long_enough_and_not_repeated() -> None:
    said = refusal({}, {"OHS_SERVER__ENCRYPTION_KEY": "hunter2"})
    assert said == "OHS_SERVER__ENCRYPTION_KEY: server.encryption_key must be a text of at least 16 characters"


def test_a_secret_of_the_wrong_type_is_not_repeated(file: Path) -> None:
    file.write_text("[llm]\napi_key = 20251")
    assert "20251" not in refusal({}, {}, file)


def test_a_file_that_cannot_be_read_is_told(file: Path, tmp_path: Path) -> None:
    assert refusal({}, {}, file) == f"{file}: the file cannot be read: No such file or directory"
    assert refusal({}, {}, tmp_path) == f"{tmp_path}: the file cannot be read: Is a directory"
    file.write_text("port = = 3")
    assert refusal({}, {}, file).startswith(f"{file}: the file is not TOML: ")
    file.write_bytes(b"\xff")
    assert refusal({}, {}, file).startswith(f"{file}: the file is not TOML: ")


@given(strategies.dictionaries(strategies.sampled_from(sorted(settings())), strategies.text(max_size=20), max_size=3))
@hypothesis_settings(deadline=None)
def test_no_text_in_a_variable_is_more_than_a_refusal(values: dict[str, str]) -> None:
    environ = {settings()[key].variable: value for key, value in values.items()}
    origin = None
    try:
        load({}, environ, None)
    except ConfigError as error:
        origin = error.origin
    assert origin in {None, *environ}


def test_a_home_that_does_not_exist_is_refused() -> None:
    assert refusal({}, {"OHS_DATA_DIR": "~nobody-has-this-name/data"}, None).startswith(
        "OHS_DATA_DIR: data_dir must be "
    )


def test_the_file_of_defaults_changes_nothing() -> None:
    found = load({}, {}, DEFAULTS)
    assert (found.config, set(found.origins.values())) == (Config(), {"default"})


def test_each_line_of_the_file_of_defaults_can_be_put_in_force(tmp_path: Path) -> None:
    for key, setting in settings().items():
        if setting.default is None:
            continue
        table, _, name = key.rpartition(".")
        [line] = [each for each in _lines(table) if each.startswith(f"#{name} = ")]
        file = tmp_path / "one.toml"
        file.write_text(f"[{table}]\n{line[1:]}\n" if table else f"{line[1:]}\n")
        found = load({}, {}, file)
        assert found.config == Config(), key
        assert found.origins[key] != "default"


def _lines(table: str) -> list[str]:
    """Those of a table in the file of defaults."""
    text = DEFAULTS.read_text()
    return (text.partition(f"\n[{table}]\n")[2] if table else text).partition("\n[")[0].splitlines()


def test_every_named_flag_stands_for_a_setting() -> None:
    assert set(FLAGS.values()) <= set(settings())


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        ("127.0.0.1", False),
        ("127.8.8.8", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),
        ("::", True),
        ("", True),
        ("192.168.0.2", True),
        ("example.org", True),
    ],
)
@pytest.mark.parametrize("way", [{"--no-auth": "open"}, {"--session-api-key": ""}], ids=["no-auth", "empty key"])
def test_only_on_loopback_callers_may_need_no_key(host: str, refused: bool, way: dict[str, object]) -> None:
    found = load({"--host": host, **way}, {}, None).config
    assert found.is_open
    assert ("reached from other machines" in (found.auth_problem or "")) is refused
    for guarded in ({"--host": host}, {"--host": host, "--session-api-key": "open sesame"}):
        guarded_config = load(guarded, {}, None).config
        assert (guarded_config.is_open, guarded_config.auth_problem) == (False, None)


def test_a_key_and_no_auth_exclude_each_other() -> None:
    found = load({"--no-auth": "open"}, {"OHS_SESSION_API_KEY": "open sesame"}, None).config
    assert found.auth_problem == "auth.kind is open, and server.session_api_key is set: leave one of the two out"


@pytest.mark.parametrize("kind", ["tokens", "trusted_header"])
def test_where_users_are_told_apart_an_empty_key_opens_nothing_and_another_is_refused(kind: str) -> None:
    auth = {"OHS_AUTH__KIND": kind, "OHS_AUTH__SECRET": "x" * 32, "OHS_AUTH__PROXIES": "10.0.0.7"}
    for environ in (auth, {**auth, "OHS_SESSION_API_KEY": ""}):
        found = load({"--host": "0.0.0.0"}, environ, None).config
        assert (found.is_open, found.makes_key, found.auth_problem) == (False, False, None)
    told = load({}, {**auth, "OHS_SESSION_API_KEY": "open sesame"}, None).config.auth_problem
    assert told == f"auth.kind is {kind}, and server.session_api_key is set: leave one of the two out"


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({"OHS_SERVER__SESSION_API_KEY": "long"}, "long"),
        ({"OHS_SESSION_API_KEY": "short"}, "short"),
        ({"OHS_SERVER__SESSION_API_KEY": "long", "OHS_SESSION_API_KEY": "short"}, "short"),
        ({"OHS_SERVER__SESSION_API_KEY": ""}, ""),
        ({}, None),
    ],
)
def test_the_key_has_two_variables_and_may_be_empty(environ: dict[str, str], key: str | None) -> None:
    found = load({}, environ, None).config
    given = found.server.session_api_key
    assert (None if given is None else given.get_secret_value()) == key
    assert found.is_open is (key == "")


def test_every_setting_says_what_it_is_for() -> None:
    for setting in settings().values():
        assert setting.description.endswith((".", "`.")), setting.key


def test_trusted_proxies_are_addresses_and_networks() -> None:
    found = load({}, {"OHS_SERVER__TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8, 2001:db8::/32"}, None)
    assert found.config.server.trusted_proxies == ("127.0.0.1/32", "10.0.0.0/8", "2001:db8::/32")


@pytest.mark.parametrize("wrong", ["nginx", "10.0.0.1/8", "10.0.0.0/99", "*", "127.0.0.1:80"])
def test_what_is_neither_an_address_nor_a_network_is_no_trusted_proxy(wrong: str) -> None:
    told = refusal({}, {"OHS_SERVER__TRUSTED_PROXIES": wrong})
    assert "server.trusted_proxies must be a list of addresses or networks, such as 10.0.0.7 or 10.0.0.0/24" in told
    assert wrong in told
