//! Listeners bound to one token: whatever arrives on one belongs to that token's channel.

use std::net::SocketAddr;

use figment::value::Dict;
use figment::value::Value;

use crate::config::kind::AToken;
use crate::config::kind::Address;
use crate::config::kind::Choice;
use crate::config::kind::Kind;
use crate::config::kind::type_name;
use crate::config::value::Problem;
use crate::id::Token;

/// By which protocol a bound listener takes messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// Syslog over TCP.
    Tcp,
    /// Syslog over UDP.
    Udp,
    /// Syslog over TLS, with the certificate of `syslog_tls`.
    Tls,
}

impl Protocol {
    /// The protocol as the configuration writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Tls => "tls",
        }
    }
}

/// One `[[listener]]` of the configuration.
#[derive(Clone, PartialEq)]
pub struct Listener {
    /// How messages arrive.
    pub protocol: Protocol,
    /// Where it listens.
    pub address: SocketAddr,
    /// To whom everything that arrives belongs.
    pub token: Token,
}

/// The kind of one listener: a table, or the same as a JSON object.
pub(crate) struct BoundListener;

impl Kind for BoundListener {
    type Output = Listener;

    fn read(&self, value: &Value) -> Result<Listener, Problem> {
        let Value::Dict(_, fields) = value else {
            return Err(Problem::WrongType(type_name(value)));
        };
        let unknown = |name: &&String| !["protocol", "address", "token"].contains(&name.as_str());
        if let Some(name) = fields.keys().find(unknown) {
            return Err(Problem::UnknownField(name.clone()));
        }
        Ok(Listener {
            protocol: PROTOCOLS.read(field(fields, "protocol")?)?,
            address: Address.read(field(fields, "address")?)?,
            token: AToken.read(field(fields, "token")?)?,
        })
    }

    fn wanted(&self) -> String {
        "a table with protocol (\"tcp\", \"udp\" or \"tls\"), address and token".to_owned()
    }
}

/// All bound listeners; as text, a JSON array of objects.
pub(crate) struct Listeners;

impl Kind for Listeners {
    type Output = Vec<Listener>;

    fn read(&self, value: &Value) -> Result<Vec<Listener>, Problem> {
        let parsed: Value;
        let list = match value {
            Value::String(_, json) => {
                parsed =
                    serde_json::from_str(json).map_err(|_| Problem::WrongType("no JSON array"))?;
                &parsed
            }
            given => given,
        };
        let Value::Array(_, elements) = list else {
            return Err(Problem::WrongType(type_name(list)));
        };
        let read = |(index, element)| {
            BoundListener
                .read(element)
                .map_err(|problem| Problem::InElement {
                    index,
                    problem: Box::new(problem),
                })
        };
        elements.iter().enumerate().map(read).collect()
    }

    fn wanted(&self) -> String {
        format!(
            "[[listener]] tables, or in the environment a JSON array; each {}",
            BoundListener.wanted()
        )
    }
}

fn field<'a>(fields: &'a Dict, name: &'static str) -> Result<&'a Value, Problem> {
    fields.get(name).ok_or(Problem::NoField(name))
}

const PROTOCOLS: Choice<Protocol> = Choice(&[
    ("tcp", Protocol::Tcp),
    ("udp", Protocol::Udp),
    ("tls", Protocol::Tls),
]);
