//! `Sec...` directives that are not rules.
//!
//! Source: ModSecurity v2 Reference Manual, "Configuration Directives". A directive either works, is known to need
//! nothing here, or is an error; none is ignored in silence.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::operators::rx::Pattern;
use crate::operators::{CompileError, PatternOptions};
use crate::settings::{AuditEngine, AuditFormat, AuditSettings, EngineMode, LimitAction, Settings};
use crate::transform::UnicodeMap;
use seclang::{Span, Spanned};

use super::controls::is_parts;
use super::{Report, suggest};

/// Where the files say what a policy may override, for the warning if both differ.
#[derive(Default)]
pub(super) struct Said {
    pub engine: Option<(EngineMode, Span)>,
    pub request_body_access: Option<(bool, Span)>,
    pub audit: AuditSaid,
    unicode: UnicodeSaid,
}

/// The map and the code page; two directives say them, in either order.
#[derive(Debug, Default)]
struct UnicodeSaid {
    map: Option<PathBuf>,
    code_page: Option<u32>,
}

/// Which of the audit log's settings the rules contain.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AuditSaid {
    pub engine: bool,
    pub parts: bool,
    pub status: bool,
}

/// Refused directives that may be given as `Off`, which is how things are.
const MAY_BE_OFF: &[&str] = &[
    "SecContentInjection",
    "SecHashEngine",
    "SecParseXmlIntoArgs",
    "SecRuleInheritance",
    "SecStreamInBodyInspection",
    "SecStreamOutBodyInspection",
    "SecXmlExternalEntity",
];

/// Directives that are accepted without an effect, and why.
pub(crate) const WITHOUT_EFFECT: &[(&str, &str)] = &[
    (
        "SecCacheTransformations",
        "transformations are always cached",
    ),
    ("SecConnEngine", "connection limits are the listener's"),
    ("SecDataDir", "collections live in memory"),
    (
        "SecDebugLog",
        "there is no debug log; `rules explain` shows what happened",
    ),
    (
        "SecDebugLogLevel",
        "there is no debug log; `rules explain` shows what happened",
    ),
    (
        "SecDisableBackendCompression",
        "a policy's `response_encoding` says what gateways are asked for",
    ),
    (
        "SecInterceptOnError",
        "an operator that fails is counted and never passes silently",
    ),
    ("SecPcreMatchLimit", "automata have no match limit"),
    ("SecPcreMatchLimitRecursion", "automata have no match limit"),
    (
        "SecRequestBodyInMemoryLimit",
        "bodies are held in memory, bounded by the listener's budget",
    ),
    ("SecStatusEngine", "nothing is reported to a third party"),
    ("SecTmpDir", "no temporary files are written"),
    ("SecTmpSaveUploadedFiles", "no temporary files are written"),
    ("SecUploadDir", "uploaded files are not kept"),
    ("SecUploadFileMode", "uploaded files are not kept"),
    ("SecUploadKeepFiles", "uploaded files are not kept"),
    ("SecAuditLogDirMode", "records go to one file or stream"),
    ("SecAuditLogFileMode", "the file is created 0600"),
    ("SecAuditLogStorageDir", "records go to one file or stream"),
    ("SecAuditLogType", "records go to one file or stream"),
];

/// Directives that are refused, and why.
pub(crate) const REFUSED: &[(&str, &str)] = &[
    (
        "SecAuditLog2",
        "one audit log is written; use the front door's log configuration for more",
    ),
    (
        "SecChrootDir",
        "the process's own sandbox is the service manager's business",
    ),
    (
        "SecConnReadStateLimit",
        "connection limits are the listener's",
    ),
    (
        "SecConnWriteStateLimit",
        "connection limits are the listener's",
    ),
    (
        "SecContentInjection",
        "responses leave with the upstream's bytes",
    ),
    ("SecGeoLookupDb", "there is no geo database"),
    (
        "SecGsbLookupDb",
        "Google Safe Browsing's old database is no longer published",
    ),
    ("SecGuardianLog", "no program is fed with log lines"),
    ("SecHashEngine", "responses are not rewritten"),
    ("SecHashKey", "responses are not rewritten"),
    ("SecHashMethodPm", "responses are not rewritten"),
    ("SecHashMethodRx", "responses are not rewritten"),
    ("SecHashParam", "responses are not rewritten"),
    ("SecHttpBlKey", "no lookups leave on the request path"),
    (
        "SecParseXmlIntoArgs",
        "XML is looked at as XML:/* and XML://@*",
    ),
    ("SecReadStateLimit", "connection limits are the listener's"),
    (
        "SecRemoteRules",
        "rules are files that a team owns, never fetched at run time",
    ),
    (
        "SecRemoteRulesFailAction",
        "rules are files that a team owns, never fetched at run time",
    ),
    (
        "SecRequestEncoding",
        "arguments are bytes in the encoding they came in; rules decode with t:utf8toUnicode",
    ),
    (
        "SecRuleInheritance",
        "a policy lists its rules; there are no nested contexts",
    ),
    ("SecRulePerfTime", "engine timings are metrics"),
    ("SecRuleScript", "no scripts run in the engine"),
    ("SecSensorId", "the access log names the listener"),
    (
        "SecStreamInBodyInspection",
        "bodies are passed on as they came",
    ),
    (
        "SecStreamOutBodyInspection",
        "bodies are passed on as they came",
    ),
    ("SecWriteStateLimit", "connection limits are the listener's"),
    (
        "SecXmlExternalEntity",
        "external entities are never loaded; `Off` is accepted",
    ),
];

struct Args<'a, 'r, 's> {
    name: &'a Spanned<String>,
    arguments: &'a [Spanned<String>],
    span: Span,
    report: &'r mut Report<'s>,
}

#[allow(clippy::too_many_lines)] // one arm a directive
pub(super) fn apply(
    name: &Spanned<String>,
    arguments: &[Spanned<String>],
    span: Span,
    settings: &mut Settings,
    said: &mut Said,
    read: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
    report: &mut Report<'_>,
) {
    let mut args = Args {
        name,
        arguments,
        span,
        report,
    };
    match name.node.to_ascii_lowercase().as_str() {
        "secruleengine" => {
            if let Some(mode) = args.one_of(&[
                ("on", EngineMode::On),
                ("off", EngineMode::Off),
                ("detectiononly", EngineMode::DetectionOnly),
            ]) {
                settings.engine = mode;
                // The policy's mode goes before, and a warning says so at this place.
                said.engine = Some((mode, span));
            }
        }
        "secrequestbodyaccess" => {
            if let Some(on) = args.on_off() {
                settings.request_body_access = on;
                said.request_body_access = Some((on, span));
            }
        }
        "secrequestbodylimit" => {
            if let Some(bytes) = args.number() {
                settings.request_body_limit = bytes;
            }
        }
        "secrequestbodynofileslimit" => {
            settings.request_body_no_files_limit =
                args.number().or(settings.request_body_no_files_limit);
        }
        "secrequestbodylimitaction" => {
            settings.request_body_limit_action =
                args.limit_action().or(settings.request_body_limit_action);
        }
        "secresponsebodylimitaction" => {
            settings.response_body_limit_action =
                args.limit_action().or(settings.response_body_limit_action);
        }
        "secrequestbodyjsondepthlimit" => args.set_number(&mut settings.json_depth_limit),
        "secargumentslimit" => args.set_number(&mut settings.arguments_limit),
        "secresponsebodyaccess" => args.set_on_off(&mut settings.response_body_access),
        "secresponsebodylimit" => args.set_number(&mut settings.response_body_limit),
        // As in ModSecurity, each line adds to the list.
        // In lower case, because media types have no case (RFC 9110, 8.3.1).
        "secresponsebodymimetype" => settings.response_body_types.extend(
            arguments
                .iter()
                .flat_map(|a| a.node.split_whitespace())
                .map(str::to_ascii_lowercase),
        ),
        "secresponsebodymimetypesclear" => settings.response_body_types.clear(),
        "secargumentseparator" => match args.text().map(str::as_bytes) {
            Some(&[byte]) => settings.argument_separator = byte,
            _ => args.fail("one character is needed"),
        },
        "seccookieformat" => match args.text() {
            Some("0") => settings.cookie_version = 0,
            Some("1") => settings.cookie_version = 1,
            _ => args.fail("0 (Netscape) or 1 (RFC 2965)"),
        },
        // Files that say what holds anyway load unmodified.
        "seccookiev0separator" if args.text() == Some(";") => {}
        "seccookiev0separator" => args.fail("only ; separates cookies"),
        "seccollectiontimeout" => {
            if let Some(seconds) = args.number() {
                settings.collection_timeout = seconds as u64;
            }
        }
        "secuploadfilelimit" => args.set_number(&mut settings.upload_file_limit),
        "secunicodemapfile" => unicode_map(&mut args, settings, &mut said.unicode, read),
        "secunicodecodepage" => code_page(&mut args, settings, &mut said.unicode, read),
        "seccomponentsignature" => settings
            .component_signatures
            .extend(args.text().map(str::to_owned)),
        "secserversignature" => settings.server_signature = args.text().map(str::to_owned),
        "secwebappid" => settings.web_app_id = args.text().unwrap_or_default().to_owned(),
        "secauditengine" => {
            if let Some(engine) = args.one_of(&[
                ("on", AuditEngine::On),
                ("off", AuditEngine::Off),
                ("relevantonly", AuditEngine::RelevantOnly),
            ]) {
                settings.audit.engine = engine;
                said.audit.engine = true;
            }
        }
        "secauditlogparts" => match args.text() {
            Some(parts) if is_parts(parts) => {
                parts.clone_into(&mut settings.audit.parts);
                said.audit.parts = true;
            }
            _ => args.fail("parts are letters A to K and Z"),
        },
        "secauditlogrelevantstatus" => match args.text().map(status_pattern) {
            Some(Ok(pattern)) => {
                settings.audit.relevant_status = Some(Arc::new(pattern));
                said.audit.status = true;
            }
            Some(Err(error)) => args.fail(&error.message),
            None => args.fail("a regular expression is needed"),
        },
        "secauditlog" => settings.audit.path = args.text().map(str::to_owned),
        "secauditlogformat" => {
            if let Some(format) = args.one_of(&[
                ("json", AuditFormat::Json),
                // Accepted so that files that name ModSecurity's own format load; the records are JSON all the same.
                ("native", AuditFormat::Json),
                ("ecs", AuditFormat::Ecs),
            ]) {
                settings.audit.format = format;
            }
        }
        other => {
            if WITHOUT_EFFECT
                .iter()
                .any(|(n, _)| n.eq_ignore_ascii_case(other))
            {
                return;
            }
            match REFUSED.iter().find(|(n, _)| n.eq_ignore_ascii_case(other)) {
                // Recommended files turn off what they do not use, and that is how it is here.
                Some((n, _)) if MAY_BE_OFF.contains(n) && args.is_off() => {}
                Some((n, why)) => args
                    .report
                    .error(name.span, format!("{n} is refused: {why}")),
                None => {
                    let message = format!("unknown directive `{}`", name.node);
                    let help = suggest::directive(&name.node);
                    args.report.unknown(name.span, message, help);
                }
            }
        }
    }
}

/// `SecAuditLogRelevantStatus`, as ModSecurity reads it: a pattern of PCRE.
fn status_pattern(text: &str) -> Result<Pattern, CompileError> {
    Pattern::compile(text.as_bytes(), PatternOptions::default())
}

/// The values of `modsecurity.conf-recommended`.
const RECOMMENDED_PARTS: &str = "ABIJDEFHZ";
const RECOMMENDED_STATUS: &str = "^(?:5|4(?!04))";

/// Fills in what to record if the rules do not say.
pub(crate) fn record_relevant(audit: &mut AuditSettings, said: AuditSaid) {
    audit.engine = AuditEngine::RelevantOnly;
    if !said.parts {
        RECOMMENDED_PARTS.clone_into(&mut audit.parts);
    }
    if !said.status {
        // The pattern compiles; a test proves it.
        audit.relevant_status = status_pattern(RECOMMENDED_STATUS).ok().map(Arc::new);
    }
}

/// `SecUnicodeMapFile FILE [CODEPAGE]`
fn unicode_map(
    args: &mut Args<'_, '_, '_>,
    settings: &mut Settings,
    said: &mut UnicodeSaid,
    read: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
) {
    let mut words = args
        .arguments
        .iter()
        .flat_map(|a| a.node.split_whitespace());
    let (Some(file), code_page) = (words.next(), words.next()) else {
        return args
            .fail("a file and a code page are needed: SecUnicodeMapFile unicode.mapping 20127");
    };
    if let Some(text) = code_page {
        let Some(code_page) = args.code_page(text) else {
            return;
        };
        said.code_page = Some(code_page);
    }
    // The file stands relative to the one that names it, as in ModSecurity.
    let folder = args.report.sources.path(args.span.file).parent();
    said.map = Some(folder.unwrap_or(Path::new("")).join(file));
    read_unicode_map(args, settings, said, read);
}

/// `SecUnicodeCodePage CODEPAGE`
fn code_page(
    args: &mut Args<'_, '_, '_>,
    settings: &mut Settings,
    said: &mut UnicodeSaid,
    read: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
) {
    let text = args.text().unwrap_or_default().to_owned();
    if let Some(code_page) = args.code_page(&text) {
        said.code_page = Some(code_page);
        read_unicode_map(args, settings, said, read);
    }
}

fn read_unicode_map(
    args: &mut Args<'_, '_, '_>,
    settings: &mut Settings,
    said: &UnicodeSaid,
    read: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
) {
    // The code page came first; the map will be read when its directive comes.
    let Some(path) = &said.map else {
        return;
    };
    // The code page of ModSecurity's recommended configuration: US-ASCII.
    let code_page = said.code_page.unwrap_or(20127);
    let map = read(path)
        .map_err(|e| format!("{}: {e}", path.display()))
        .and_then(|bytes| String::from_utf8(bytes).map_err(|e| format!("{}: {e}", path.display())))
        .and_then(|text| {
            // Some editors begin a file with a byte order mark, which would hide the first line.
            let text = text.trim_start_matches('\u{feff}');
            UnicodeMap::parse(text, code_page).map_err(|e| format!("{}: {e}", path.display()))
        });
    match map {
        Ok(map) => settings.unicode_map = Some(Arc::new(map)),
        Err(message) => args.fail(&message),
    }
}

impl Args<'_, '_, '_> {
    fn text(&self) -> Option<&str> {
        self.arguments.first().map(|a| a.node.trim())
    }

    fn is_off(&self) -> bool {
        self.text()
            .is_some_and(|text| text.eq_ignore_ascii_case("off"))
    }

    fn fail(&mut self, message: &str) {
        let span = self.arguments.first().map_or(self.span, |a| a.span);
        self.report
            .error(span, format!("{}: {message}", self.name.node));
    }

    fn one_of<T: Copy>(&mut self, choices: &[(&str, T)]) -> Option<T> {
        let word = self.text().map(str::to_ascii_lowercase);
        let found = choices
            .iter()
            .find(|(name, _)| Some(*name) == word.as_deref())
            .map(|c| c.1);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|c| c.0).collect();
            self.fail(&format!("one of {} is needed", names.join(", ")));
        }
        found
    }

    fn code_page(&mut self, text: &str) -> Option<u32> {
        let number = text.parse().ok();
        if number.is_none() {
            self.fail("a code page is a number such as 20127");
        }
        number
    }

    fn on_off(&mut self) -> Option<bool> {
        self.one_of(&[("on", true), ("off", false)])
    }

    fn set_on_off(&mut self, setting: &mut bool) {
        // A faulty value is reported and changes nothing.
        *setting = self.on_off().unwrap_or(*setting);
    }

    fn limit_action(&mut self) -> Option<LimitAction> {
        self.one_of(&[
            ("reject", LimitAction::Reject),
            ("processpartial", LimitAction::ProcessPartial),
        ])
    }

    fn number(&mut self) -> Option<usize> {
        let number = self.text().and_then(|t| t.parse().ok());
        if number.is_none() {
            self.fail("a whole number is needed");
        }
        number
    }

    fn set_number(&mut self, setting: &mut usize) {
        *setting = self.number().unwrap_or(*setting);
    }
}
