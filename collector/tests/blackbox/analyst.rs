//! Analysts over the network: who is let in, what each may, and that the answers are those of the same command beside the data.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::audit::entries;
use crate::daemon::{Daemon, Place};
use crate::enrol::said;
use crate::events::theft;
use crate::identity::greet;
use crate::tls::Client;

/// A collector that lets analysts in, on a port that was free a moment ago.
pub(crate) fn place() -> (Place, String) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let place = Place::with_tls(&format!("[analyst]\nlisten = \"127.0.0.1:{port}\"\n"));
    (place, format!("localhost:{port}"))
}

/// Somebody with a directory of keys.
pub(crate) struct Analyst<'a> {
    pub(crate) address: &'a str,
    pub(crate) identity: PathBuf,
}

impl<'a> Analyst<'a> {
    /// Enrols with a token for these roles.
    pub(crate) fn new(place: &Place, address: &'a str, name: &str, roles: &str) -> Self {
        let arguments = [
            "token",
            "--analyst",
            name,
            "--role",
            roles,
            "--address",
            address,
        ];
        let made = place.collector(&arguments);
        assert!(made.status.success(), "{}", said(&made));
        Self::with_token(place, address, name, &made.stdout)
    }

    /// Enrols with a token, which is one line.
    pub(crate) fn with_token(place: &Place, address: &'a str, name: &str, token: &[u8]) -> Self {
        let file = place.file(&format!("{name}.token"));
        std::fs::write(&file, token).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let analyst = Self {
            address,
            identity: place.file(name),
        };
        let enrolled = analyst.run(&["enroll", "--token-file", file.to_str().unwrap()]);
        assert!(enrolled.status.success(), "{}", said(&enrolled));
        analyst
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chartwatch"));
        if arguments[0] != "enroll" {
            command.args(["--collector", self.address]);
        }
        command
            .arg("--identity")
            .arg(&self.identity)
            .args(arguments);
        command.output().unwrap()
    }

    /// A connection with the certificate of now.
    pub(crate) async fn channel(&self) -> tonic::transport::Channel {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject as _;
        let read = |name: &str| std::fs::read(self.identity.join(name)).unwrap();
        let identity = read("identity.pem");
        let client = Client::with(
            CertificateDer::from_pem_slice(&read("ca.pem")).unwrap(),
            CertificateDer::from_pem_slice(&identity).unwrap(),
            rcgen::KeyPair::from_pem(std::str::from_utf8(&identity).unwrap()).unwrap(),
        );
        let port = self.address.rsplit(':').next().unwrap();
        client.connect(&format!("127.0.0.1:{port}")).await.unwrap()
    }

    pub(crate) fn refused(&self, arguments: &[&str], part: &str) {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(
            said(&output).contains(part),
            "{arguments:?}: {}",
            said(&output)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analysts_do_over_the_network_what_their_roles_allow_and_nothing_else() {
    let (place, address) = place();
    let daemon = Daemon::start(&place);
    let client = Client::valid(&place.data(), "ws-12");
    let mut sensor = greet(&client, &daemon.address, "ws-12").await.unwrap();
    sensor.send(1, theft(0, 1000)).await;
    sensor.persisted(8).await;
    let alerts = place.alerts_until(|alerts| alerts.len() == 1);
    let id = alerts[0]["id"].as_str().unwrap();

    let reader = Analyst::new(&place, &address, "rita", "read");
    // The same command says the same here and there.
    for arguments in [
        &["alerts"][..],
        &["alerts", "--json"],
        &["show", id],
        &["show", id, "--json"],
        &["show", id, "--svg", "-"],
        &["events"],
        &["usual"],
        &["intel"],
        &["intel", "203.0.113.9"],
        &["replay", "--json"],
    ] {
        let (there, here) = (reader.run(arguments), place.chartwatch(arguments));
        assert!(there.status.success(), "{arguments:?}: {}", said(&there));
        assert_eq!(
            String::from_utf8_lossy(&there.stdout),
            String::from_utf8_lossy(&here.stdout),
            "{arguments:?}"
        );
    }
    let picture = place.file("way.svg");
    let drawn = reader.run(&["show", id, "--svg", picture.to_str().unwrap()]);
    assert!(
        drawn.status.success() && picture.exists(),
        "{}",
        said(&drawn)
    );
    assert!(reader.run(&["sensors"]).status.success());
    let verified = reader.run(&["audit", "verify"]);
    assert!(verified.status.success(), "{}", said(&verified));
    // What fails there ends as it does here.
    reader.refused(&["show", "ffffffff"], "no alert has an id");
    let close = ["close", id, "--as", "false-positive", "--why", "ticket 1"];
    reader.refused(&close, "needs the role triage, and rita has read");
    reader.refused(
        &["reveal", "--alert", id, "--why", "x"],
        "needs the role reveal",
    );
    reader.refused(&["approve", id, "--why", "x"], "needs the role administer");

    let closer = Analyst::new(&place, &address, "tom", "triage");
    closer.refused(
        &["reveal", "--alert", id, "--why", "x"],
        "needs the role reveal",
    );
    let closed = closer.run(&close);
    assert!(closed.status.success(), "{}", said(&closed));
    let shown = place.json(&["alerts", "--json"]);
    assert_eq!(shown[0]["closed"]["who"], "tom");
    // Roles change at once.
    let given = place.collector(&["roles", "--analyst", "tom", "--role", "reveal"]);
    assert!(given.status.success(), "{}", said(&given));
    closer.refused(&close, "tom has reveal");
    let revealed = closer.run(&["reveal", "--alert", id, "--why", "ticket 2"]);
    assert!(revealed.status.success(), "{}", said(&revealed));

    assert!(daemon.stop().success());
    let revealed = entries(&place, &["--what", "revealed"]);
    assert_eq!(revealed[0]["who"]["name"], "tom");
    assert_eq!(revealed[0]["details"]["why"], "ticket 2");
    let refused = entries(&place, &["--what", "analyst-refused", "--who", "rita"]);
    assert_eq!(refused.len(), 3, "{refused:#?}");
    assert!(!entries(&place, &["--what", "looked", "--who", "rita"]).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_at_another_door_or_after_a_change_of_the_authority_is_told_what_to_do() {
    let (place, address) = place();
    let daemon = Daemon::start(&place);
    let anna = Analyst::new(&place, &address, "anna", "read");
    let at = |address| Analyst {
        address,
        identity: anna.identity.clone(),
    };
    let sensors = format!("localhost:{}", daemon.address.rsplit_once(':').unwrap().1);
    at(&sensors).refused(&["alerts"], "below [analyst]");
    for wrong in ["localhost", "localhost:port", "localhost:70000"] {
        at(wrong).refused(&["alerts"], "is no HOST:PORT");
    }
    assert!(place.collector(&["rotate-authority"]).status.success());
    let finished = place.collector(&["rotate-authority", "--finish"]);
    assert!(finished.status.success(), "{}", said(&finished));
    let told = String::from_utf8_lossy(&finished.stdout);
    assert!(
        told.contains("make a token for each") && told.contains("anna"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_revoked_or_is_no_analyst_is_not_let_in() {
    let (place, address) = place();
    let daemon = Daemon::start(&place);
    let anna = Analyst::new(&place, &address, "anna", "triage");
    assert!(anna.run(&["alerts"]).status.success());
    let revoked = place.collector(&["revoke", "--analyst", "anna"]);
    assert!(revoked.status.success(), "{}", said(&revoked));
    anna.refused(&["alerts"], "was revoked");

    // A key that others can read is not used.
    let open = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(anna.identity.join("identity.pem"), open).unwrap();
    anna.refused(&["alerts"], "mode 0640");

    // An analyst is no sensor, and a sensor no analyst.
    let name = Analyst::new(&place, &address, "ws-12", "read");
    let text = std::fs::read(name.identity.join("identity.pem")).unwrap();
    let own = |text: &[u8]| {
        use rustls::pki_types::pem::PemObject as _;
        let certificate = rustls::pki_types::CertificateDer::from_pem_slice(text).unwrap();
        let key = rcgen::KeyPair::from_pem(std::str::from_utf8(text).unwrap()).unwrap();
        (certificate, key)
    };
    let authority = std::fs::read(name.identity.join("ca.pem")).unwrap();
    let authority = {
        use rustls::pki_types::pem::PemObject as _;
        rustls::pki_types::CertificateDer::from_pem_slice(&authority).unwrap()
    };
    let (certificate, key) = own(&text);
    let client = Client::with(authority, certificate, key);
    let refused = greet(&client, &daemon.address, "ws-12").await;
    assert_eq!(refused.err().unwrap().0, tonic::Code::Unauthenticated);
    let sensor = Client::valid(&place.data(), "ws-12");
    let port = address.rsplit(':').next().unwrap();
    for client in [sensor, Client::nameless(&place.data())] {
        let channel = client.connect(&format!("127.0.0.1:{port}")).await.unwrap();
        let mut analyst = proto::analyst::v1::analyst_client::AnalystClient::new(channel);
        let asked = collector::analyst::request(collector::analyst::Command::Alerts { json: true });
        let refused = analyst.run(asked).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{refused:?}");
    }
    assert!(daemon.stop().success());
    // The two strangers came from the same place, so they are one line and a count.
    let refused = entries(&place, &["--what", "analyst-refused"]);
    assert_eq!(refused.len(), 3, "{refused:#?}");
    assert_eq!(refused[0]["who"]["name"], "anna");
    assert_eq!(refused[1]["who"]["from"], "127.0.0.1");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let off = Place::new("[analyst]\nlisten = \"127.0.0.1:0\"\n");
    let output = off.collector(&["check"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(
        said(&output).contains("analyst.listen"),
        "{}",
        said(&output)
    );
    let none = Place::with_tls("");
    let token = [
        "token",
        "--analyst",
        "anna",
        "--role",
        "read",
        "--address",
        "localhost:1",
    ];
    let output = none.collector(&token);
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    assert!(said(&output).contains("[analyst]"), "{}", said(&output));
    let emperor = ["token", "--analyst", "anna", "--role", "emperor"];
    assert_eq!(none.collector(&emperor).status.code(), Some(2));
}
