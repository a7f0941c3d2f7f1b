//! The API in OpenAPI 3.1, made from the functions and types that serve it.

use axum::{
    http::header,
    response::{IntoResponse, Response as Answer},
};
use utoipa::{
    Modify, OpenApi, PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, Ref, RefOr, ResponseBuilder,
        path::{Operation, ParameterIn},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    super::problem::{PROBLEM_JSON, Problem},
    calls, live, products, recordings, streams,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "goastgateway",
        description = "Calls, streams and recordings of goastgateway. Every request but the one \
                       for this description needs one of the configuration's api_tokens. What \
                       comes to nothing is answered by a problem (RFC 9457) that says what to do.",
    ),
    paths(
        calls::list, calls::one, live::live,
        streams::list, streams::start, streams::stop, streams::pause, streams::resume,
        recordings::list, recordings::start, recordings::stop, recordings::fetch,
        products::list, products::put, products::one, products::remove,
    ),
    tags(
        (name = "calls", description = "Calls that were and calls that are"),
        (name = "streams", description = "Whoever listens to a call"),
        (name = "recordings", description = "Calls as files"),
        (name = "ringcentral", description = "Streaming profiles in RingCentral's shape"),
    ),
    modifiers(&Token, &Refusals),
)]
struct Description;

/// Every operation needs the token.
struct Token;

impl Modify for Token {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = api.components.get_or_insert_with(Default::default);
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
        api.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    }
}

/// What the guard, the body and the path can be refused for is the same everywhere.
struct Refusals;

impl Modify for Refusals {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let components = api.components.get_or_insert_with(Default::default);
        components.schemas.insert(Problem::name().into_owned(), Problem::schema());
        for item in api.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.post, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                refuse(operation);
            }
        }
    }
}

fn refuse(operation: &mut Operation) {
    let mut refusals = vec![
        ("401", "No token, or a wrong one"),
        ("403", "The configuration has no api_tokens"),
        ("429", "Too many requests"),
        ("503", "Not to be had now"),
    ];
    let is_in = |place: ParameterIn| {
        operation.parameters.iter().flatten().any(
            |parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == place),
        )
    };
    let (in_path, in_query) = (is_in(ParameterIn::Path), is_in(ParameterIn::Query));
    let body = operation.request_body.is_some();
    if in_query || body {
        refusals.push(("400", "It can't be understood"));
    }
    if in_path || body {
        refusals.push(("404", "There is no such thing"));
    }
    if body {
        refusals.push(("408", "The body did not come in time"));
        refusals.push(("413", "The body is too long"));
        refusals.push(("415", "The body isn't JSON"));
    }
    for (status, description) in refusals {
        let problem =
            ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
        let response =
            ResponseBuilder::new().description(description).content(PROBLEM_JSON, problem).build();
        let responses = &mut operation.responses.responses;
        responses.entry(status.to_owned()).or_insert(RefOr::T(response));
    }
}

/// The description as JSON.
pub fn openapi() -> String {
    Description::openapi().to_json().unwrap_or_default()
}

/// For whoever wants to know; it holds no secret.
pub async fn get() -> Answer {
    ([(header::CONTENT_TYPE, "application/json")], openapi()).into_response()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn it_is_openapi_3_1_and_every_operation_says_how_it_can_come_to_nothing() {
        let api: Value = serde_json::from_str(&openapi()).unwrap();
        assert_eq!(api["openapi"], "3.1.0");
        assert_eq!(api["info"]["version"], env!("CARGO_PKG_VERSION"));
        let mut operations = 0;
        for (path, item) in api["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                operations += 1;
                for status in ["401", "403", "429", "503"] {
                    let problem = &operation["responses"][status]["content"][PROBLEM_JSON];
                    assert!(problem["schema"]["$ref"].is_string(), "{method} {path} {status}");
                }
                assert!(operation["summary"].is_string(), "{method} {path}");
            }
        }
        assert_eq!(operations, 16);
    }

    #[test]
    fn whatever_it_refers_to_is_in_it() {
        let text = openapi();
        let api: Value = serde_json::from_str(&text).unwrap();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(api.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
