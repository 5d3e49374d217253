"""The table `[telemetry]`."""

from pydantic import Field, SecretStr

from openhands_sessions.config.section import Section
from openhands_sessions.config.values import HttpAddress


class TelemetrySection(Section):
    traces_endpoint: HttpAddress | None = Field(
        None,
        description="Where an OpenTelemetry collector takes traces by OTLP over HTTP, such as "
        "`http://127.0.0.1:4318/v1/traces`. If not set, nothing is traced. Needs the extra `otel`.",
    )
    traces_key: SecretStr | None = Field(
        None, description="Key that the collector asks for; sent as `Authorization: Bearer`."
    )
    traces_ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the turns that are traced, where the request that causes a turn has no `traceparent`: "
        "one that has says whether it is.",
    )
