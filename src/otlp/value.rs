//! OpenTelemetry's values as text: a string as it is, anything else as JSON.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use serde_json::Number;

/// The text of `value`; `None` where there is none.
pub(crate) fn text(value: Option<&AnyValue>) -> Option<Cow<'_, str>> {
    match value?.value.as_ref()? {
        Value::StringValue(text) => Some(Cow::Borrowed(text)),
        Value::BytesValue(bytes) => Some(Cow::Owned(STANDARD.encode(bytes))),
        // JSON has no NaN and no infinity.
        Value::DoubleValue(number) if !number.is_finite() => Some(Cow::Owned(number.to_string())),
        value => Some(Cow::Owned(json(Some(value)).to_string())),
    }
}

fn json(value: Option<&Value>) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Some(Value::StringValue(text)) => Json::String(text.clone()),
        Some(Value::BoolValue(is_so)) => Json::Bool(*is_so),
        Some(Value::IntValue(number)) => Json::Number(Number::from(*number)),
        Some(Value::DoubleValue(number)) => match Number::from_f64(*number) {
            Some(number) => Json::Number(number),
            None => Json::String(number.to_string()),
        },
        Some(Value::BytesValue(bytes)) => Json::String(STANDARD.encode(bytes)),
        Some(Value::ArrayValue(list)) => {
            let values = list.values.iter();
            Json::Array(values.map(|value| json(value.value.as_ref())).collect())
        }
        Some(Value::KvlistValue(list)) => {
            let pairs = list.values.iter().map(|pair| {
                let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
                (pair.key.clone(), json(value))
            });
            Json::Object(pairs.collect())
        }
        _ => Json::Null,
    }
}
