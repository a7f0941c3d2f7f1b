//! What ARI tells of itself: the login, what the user may, the modules that listening to a channel
//! takes, and who speaks for the application. Nothing is made and nothing deleted.

use serde_json::Value;

use super::Check;
use crate::{
    asterisk::ari::{
        client::{Answer, Api, NoAnswer},
        message::Request,
        part,
    },
    config::{AriSettings, Config},
};

const CHECK: &str = "ari";

/// Modules, and what they are for.
const NEEDED: &[(&str, &str)] = &[
    ("res_ari_events", "the connection that events come by"),
    ("res_ari_channels", "channels"),
    ("res_ari_bridges", "bridges"),
    ("app_stasis", "the application that channels are in"),
    ("res_stasis_snoop", "hearing a channel"),
    ("chan_websocket", "bringing the audio here"),
];

pub async fn look(config: &Config, checks: &mut Vec<Check>) {
    let Some(settings) = &config.ari else { return };
    let api = match Api::new(settings.clone()) {
        Ok(api) => api,
        Err(error) => {
            checks.push(Check::fault(CHECK, error, "compare ca_file"));
            return;
        }
    };
    let login = api.ask(&Request::info()).await;
    let good = matches!(&login, Ok(answer) if answer.status == 200);
    checks.push(judge_login(settings, &login));
    if !good {
        return;
    }
    // Something of ours that isn't there: who may delete is told so by the answer.
    let nothing = format!("{}doctor", part::mark(&settings.app));
    if let Ok(answer) = api.ask(&Request::delete_channel(&nothing)).await {
        checks.push(match answer.status {
            401 | 403 => Check::fault(
                CHECK,
                format!("[{}] may only read", settings.username),
                "write read_only = no into its section of ari.conf, then: module reload res_ari.so",
            ),
            _ => Check::ok(CHECK, "may do all that is needed"),
        });
    }
    let mut missing = 0;
    for (name, what) in NEEDED {
        if let Ok(answer) = api.ask(&Request::module(name)).await
            && !is_running(&answer)
        {
            missing += 1;
            let found = format!("{name} is not loaded ({what})");
            let remedy = format!("load = {name}.so in modules.conf, then: module load {name}.so");
            checks.push(Check::fault(CHECK, found, remedy));
        }
    }
    if missing == 0 {
        checks.push(Check::ok(CHECK, "all modules that it takes are loaded"));
    }
    let app = &settings.app;
    if let Ok(answer) = api.ask(&Request::application(app)).await {
        checks.push(match answer.status {
            200 => Check::ok(
                CHECK,
                format!("the application {app} is spoken for: by this gateway, if it runs"),
            ),
            _ => Check::ok(
                CHECK,
                format!("the application {app} is free: the gateway isn't running"),
            ),
        });
    }
}

fn is_running(answer: &Answer) -> bool {
    let told: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    answer.status == 200 && told["status"].as_str().is_none_or(|s| s == "Running")
}

fn judge_login(settings: &AriSettings, login: &Result<Answer, NoAnswer>) -> Check {
    let url = &settings.url;
    match login {
        Ok(answer) if answer.status == 200 => Check::ok(CHECK, format!("logged in at {url}")),
        Ok(answer) if matches!(answer.status, 401 | 403) => Check::fault(
            CHECK,
            format!("{url} refuses the login"),
            format!("compare username and password with [{}] in ari.conf", settings.username),
        ),
        Ok(answer) if answer.status == 404 => Check::fault(
            CHECK,
            format!("{url} has no ARI"),
            "load res_ari and res_ari_asterisk, write enabled = yes into ari.conf, and compare \
             prefix in http.conf with url",
        ),
        Ok(answer) => {
            Check::fault(CHECK, format!("{url} answers {}", answer.status), "see Asterisk's log")
        }
        Err(error) => Check::fault(
            CHECK,
            format!("{url}: {error}"),
            "write enabled = yes into http.conf, and compare bindaddr and bindport with url",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.to_owned() }
    }

    #[test]
    fn a_module_runs_or_it_does_not() {
        let told = |status: &str| answer(200, &format!(r#"{{"name":"x","status":"{status}"}}"#));
        assert!(is_running(&told("Running")));
        assert!(!is_running(&told("Not Running")));
        assert!(!is_running(&answer(404, r#"{"message":"Module could not be found"}"#)));
    }

    #[test]
    fn each_way_of_not_getting_in_has_its_remedy() {
        let settings = AriSettings {
            url: "http://127.0.0.1:8088".to_owned(),
            username: "gw".to_owned(),
            password: crate::config::Secret::new("hunter2"),
            app: "goastgateway".to_owned(),
            connection: "gw".to_owned(),
            tls: None,
            max_channels: 1,
        };
        for (login, state, remedy) in [
            (Ok(answer(200, "{}")), State::Ok, ""),
            (Ok(answer(401, "")), State::Fault, "[gw] in ari.conf"),
            (Ok(answer(404, "")), State::Fault, "res_ari"),
            (Ok(answer(500, "")), State::Fault, "log"),
            (Err(NoAnswer::Time), State::Fault, "http.conf"),
        ] {
            let check = judge_login(&settings, &login);
            assert_eq!(check.state, state);
            assert!(check.remedy.clone().unwrap_or_default().contains(remedy), "{check:?}");
            assert!(!format!("{check:?}").contains("hunter2"));
        }
    }
}
