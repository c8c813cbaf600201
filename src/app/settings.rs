//! The flat configuration as each part wants it.

use std::sync::Arc;
use std::time::Duration;

use crate::api::ApiSettings;
use crate::channel::Budget;
use crate::config::Config;
use crate::control::ControlSettings;
use crate::control::Mode;
use crate::egress::drain::DrainSettings;
use crate::id::Secret;
use crate::id::Token;
use crate::ingest::http::LogsSettings;
use crate::ingest::tcp::SyslogSettings;
use crate::ingest::udp::UdpSettings;
use crate::limits::DRAINS_PER_CHANNEL_MAX;
use crate::net::http::HttpSettings;
use crate::net::listen::ListenSettings;
use crate::net::tls::TlsFiles;
use crate::route::limit::Rate;
use crate::route::limit::RateLimits;

pub(crate) fn budget(config: &Config) -> Budget {
    Budget {
        channel_bytes_max: config.channel_bytes_max,
        node_bytes_max: config.node_bytes(),
        history_age_max: config.history_age_max,
        wait_max: config.wait_max,
    }
}

pub(crate) fn control(config: &Config) -> ControlSettings {
    ControlSettings {
        drains_per_channel_max: usize::try_from(config.drains_per_channel_max)
            .unwrap_or(DRAINS_PER_CHANNEL_MAX),
        when_full: config.when_full,
        // `App::start` sets the configured one when it has made what it needs itself.
        mode: Mode::Normal,
    }
}

pub(crate) fn drains(config: &Config) -> DrainSettings {
    DrainSettings {
        batch_bytes_max: config.batch_bytes_max,
        connect_timeout: config.drain_connect_timeout,
        request_timeout: config.drain_request_timeout,
        write_timeout: config.drain_write_timeout,
        retry_delay_min: config.retry_delay_min,
        retry_delay_max: config.retry_delay_max,
        http_idle_max: config.drain_http_idle_max,
        syslog_idle_max: config.drain_syslog_idle_max,
        connection_age_max: config.drain_age_max,
        deny_loopback: config.drain_deny_loopback,
        deny_link_local: config.drain_deny_link_local,
        deny_private: config.drain_deny_private,
        notice_interval: config.notice_interval,
    }
}

pub(crate) fn api(config: &Config) -> ApiSettings {
    let url_text = |url: &url::Url| url.as_str().trim_end_matches('/').to_owned();
    ApiSettings {
        public_url: config.public_url.as_ref().map(url_text),
        deny_tail_sessions: config.deny_tail_sessions,
        auth_key: config
            .auth_key
            .as_ref()
            .map(|key| Arc::new(Secret::new(key.expose()))),
        tail_keepalive: config.tail_keepalive,
        rate_limits: rates(config),
    }
}

pub(crate) fn rates(config: &Config) -> RateLimits {
    let rate = |per_second: u64| {
        let burst = per_second.saturating_mul(config.rate_burst_seconds);
        (per_second != 0).then_some(Rate { per_second, burst })
    };
    RateLimits {
        messages: rate(config.rate_messages_per_second),
        bytes: rate(u64::try_from(config.rate_bytes_per_second).unwrap_or(u64::MAX)),
    }
}

pub(crate) fn logs(config: &Config) -> LogsSettings {
    LogsSettings {
        frame_bytes_max: config.frame_bytes_max,
        body_bytes_max: config.logs_body_bytes_max,
        duplicate_window: config.dedup_window,
        ..LogsSettings::default()
    }
}

pub(crate) fn http(config: &Config) -> HttpSettings {
    HttpSettings {
        head_timeout: config.http_head_timeout,
        handshake_timeout: config.tls_handshake_timeout,
        ..HttpSettings::default()
    }
}

/// For listeners of syslog; `token`: what a bound one belongs to.
pub(crate) fn syslog(config: &Config, token: Option<Token>) -> SyslogSettings {
    SyslogSettings {
        frame_bytes_max: config.frame_bytes_max,
        idle_timeout: config.idle_timeout,
        frame_timeout: config.half_frame_timeout,
        handshake_timeout: config.tls_handshake_timeout,
        token,
    }
}

pub(crate) fn udp(config: &Config, token: Option<Token>) -> UdpSettings {
    UdpSettings {
        frame_bytes_max: config.frame_bytes_max,
        token,
    }
}

pub(crate) fn listen(config: &Config, has_nodelay: bool) -> ListenSettings {
    ListenSettings {
        connections_max: usize::try_from(config.connections_max).unwrap_or(usize::MAX),
        receive_buffer_bytes: given(config.socket_receive_bytes),
        send_buffer_bytes: given(config.socket_send_bytes),
        keepalive: Some(config.keepalive).filter(|time| *time != Duration::ZERO),
        has_nodelay,
        ..ListenSettings::default()
    }
}

/// Files of the syslog listeners' certificate.
pub(crate) fn syslog_files(config: &Config) -> Option<TlsFiles> {
    Some(TlsFiles {
        certificate: config.tls_certificate.clone()?,
        key: config.tls_key.clone()?,
        client_ca: config.tls_client_ca.clone(),
    })
}

/// Files of the HTTP listeners' certificate.
pub(crate) fn http_files(config: &Config) -> Option<TlsFiles> {
    Some(TlsFiles {
        certificate: config.http_tls_certificate.clone()?,
        key: config.http_tls_key.clone()?,
        client_ca: None,
    })
}

/// A buffer size that was asked for; 0 leaves the system's.
pub(crate) fn given(bytes: usize) -> Option<usize> {
    (bytes != 0).then_some(bytes)
}
