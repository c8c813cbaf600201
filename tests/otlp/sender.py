"""Logs through OpenTelemetry's SDK as an app does; endpoint, headers and compression come from the
SDK's own environment variables. The first word says what to log."""

import logging
import sys

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

provider = LoggerProvider(
    resource=Resource.create(
        {"service.name": "shop", "service.instance.id": "web.1", "host.name": "box"}
    )
)
provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
log = logging.getLogger("shop")
log.setLevel(logging.DEBUG)
log.addHandler(LoggingHandler(logger_provider=provider))

match sys.argv[1]:
    case "many":
        for number in range(int(sys.argv[2])):
            log.info("n%d", number)
    case "kinds":
        log.debug("a debug line")
        log.info("grüße, 世界")
        log.warning("two\nlines", extra={"order": 17, "who": "a b", "ok": True})
        log.error("an error")
        log.critical("the end")
        try:
            raise ValueError("broken")
        except ValueError:
            log.exception("caught")
        provider.get_logger("events").emit(
            LogRecord(
                timestamp=1_795_196_581_851_056_789,
                severity_number=SeverityNumber.INFO2,
                body={"at": "event", "n": [1, 2.5, None]},
                event_name="order.paid",
                attributes={"cents": 500},
            )
        )

provider.shutdown()
