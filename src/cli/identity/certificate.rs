//! `drawbridge identity check` of client certificates.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use openssl::sha::sha256;
use openssl::x509::X509;
use serde_json::{Map, Value, json};

use super::{CheckArgs, now};
use crate::cli::error::{CommandError, shown_or_reported};
use crate::cli::output::{Output, print_json};
use crate::config::Config;
use crate::identity::{CertificateRule, Provider};
use crate::tls::reason::name_text;
use crate::tls::verify::{Role, Verifier};
use crate::tls::{ClientFields, TrustBundle};

/// Its claims, or a code and a sentence that say why it is refused.
type Verdict = Result<Map<String, Value>, (&'static str, String)>;

pub(super) fn check(
    args: &CheckArgs,
    provider: &Provider,
    rule: &CertificateRule,
    config: &Config,
) -> Result<ExitCode, CommandError> {
    if args.token {
        let problem = format!(
            "identity {:?} is client certificates: give --certificate FILE",
            args.name
        );
        return Err(problem.into());
    }
    let bundle = config.trust.get(&rule.trust).ok_or_else(|| {
        let problem = format!("trust bundle {:?} cannot be used", rule.trust);
        CommandError::from(problem)
    })?;
    let verdict = match &args.certificate {
        None => None,
        Some(file) => Some(judge(file, provider, rule, bundle)?),
    };
    let shown = match args.output {
        Output::Human => show(rule, bundle, verdict.as_ref()),
        Output::Json => print_json(&report(provider, rule, bundle, verdict.as_ref())),
    };
    let code = shown_or_reported(shown, args.output);
    Ok(match verdict {
        Some(Err(_)) => ExitCode::FAILURE,
        _ => code,
    })
}

/// What a listener with this bundle, and the front door, would make of the first certificate in the file.
fn judge(
    file: &Path,
    provider: &Provider,
    rule: &CertificateRule,
    bundle: &TrustBundle,
) -> Result<Verdict, CommandError> {
    let unusable = |why: String| CommandError::from(format!("{}: {why}", file.display()));
    let pem = seclang::files::read(file).map_err(|error| unusable(error.to_string()))?;
    let chain = X509::stack_from_pem(&pem).unwrap_or_default();
    let (leaf, others) = chain
        .split_first()
        .ok_or_else(|| unusable("it holds no certificate in PEM".to_owned()))?;
    let verifier = Verifier::new(bundle, Role::Client, &[]);
    let verifier = verifier.map_err(|error| unusable(error.to_string()))?;
    let verdict = verifier.verify(leaf, others);
    if !verdict.is_good() {
        let why = verdict.result.error_string().to_owned();
        return Ok(Err(("certificate_untrusted", why)));
    }
    let der = leaf.to_der().map_err(|error| unusable(error.to_string()))?;
    let claims = provider.judge_certificate(rule, &ClientFields::of(leaf), &sha256(&der), now());
    Ok(match claims {
        Ok(claims) => Ok(claims.all().clone()),
        Err(fault) => Err((fault.name(), fault.text().to_owned())),
    })
}

fn show(rule: &CertificateRule, bundle: &TrustBundle, verdict: Option<&Verdict>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "clients    of trust bundle {}", rule.trust)?;
    for ca in &bundle.certificates {
        writeln!(out, "ca         {}", name_text(ca.subject_name()))?;
    }
    match verdict {
        None => Ok(()),
        Some(Ok(claims)) => writeln!(out, "taken      {:#}", Value::Object(claims.clone())),
        Some(Err((code, text))) => writeln!(out, "refused    {code}: {text}"),
    }
}

fn report(
    provider: &Provider,
    rule: &CertificateRule,
    bundle: &TrustBundle,
    verdict: Option<&Verdict>,
) -> Value {
    let cas = bundle.certificates.iter();
    let cas: Vec<_> = cas.map(|ca| name_text(ca.subject_name())).collect();
    json!({
        "name": provider.name,
        "client_ca": rule.trust,
        "cas": cas,
        "certificate": verdict.map(|verdict| match verdict {
            Ok(claims) => json!({ "taken": true, "claims": claims }),
            Err((code, text)) => json!({ "taken": false, "reason": code, "text": text }),
        }),
    })
}
