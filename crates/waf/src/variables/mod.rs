//! Variables: their names, and which of them are collections.
//!
//! One table is the source of the enum, the names and the generated document.
//!
//! Source: ModSecurity v2 Reference Manual, "Variables".

mod items;
mod select;

pub(crate) use items::{Slice, Text, Value, atoi};
pub(crate) use select::{NamePattern, OnlySlot, Select, Target, TargetList};

macro_rules! variables {
    ($($variant:ident $name:literal $shape:ident,)*) => {
        /// Every variable the engine knows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) enum Variable { $($variant,)* }

        impl Variable {
            /// All of them, in the manual's order.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As the manual writes it.
            #[must_use]
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether it takes a selector.
            #[must_use]
            pub(crate) const fn shape(self) -> Shape {
                match self { $(Self::$variant => Shape::$shape,)* }
            }
        }
    };
}

/// Whether a variable is one value or many with names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Scalar,
    /// Named values; `COLL:name` and `COLL:/regex/` select.
    Collection,
    /// Values that are names; selectors compare with the value itself.
    Names,
}

variables! {
    Args "ARGS" Collection,
    ArgsCombinedSize "ARGS_COMBINED_SIZE" Scalar,
    ArgsGet "ARGS_GET" Collection,
    ArgsGetNames "ARGS_GET_NAMES" Names,
    ArgsNames "ARGS_NAMES" Names,
    ArgsPost "ARGS_POST" Collection,
    ArgsPostNames "ARGS_POST_NAMES" Names,
    AuthType "AUTH_TYPE" Scalar,
    Duration "DURATION" Scalar,
    Env "ENV" Collection,
    Files "FILES" Collection,
    FilesCombinedSize "FILES_COMBINED_SIZE" Scalar,
    FilesNames "FILES_NAMES" Names,
    FilesSizes "FILES_SIZES" Collection,
    FilesTmpContent "FILES_TMP_CONTENT" Collection,
    FilesTmpNames "FILES_TMPNAMES" Collection,
    FullRequest "FULL_REQUEST" Scalar,
    FullRequestLength "FULL_REQUEST_LENGTH" Scalar,
    Geo "GEO" Collection,
    Global "GLOBAL" Collection,
    HighestSeverity "HIGHEST_SEVERITY" Scalar,
    Identity "IDENTITY" Collection,
    InboundDataError "INBOUND_DATA_ERROR" Scalar,
    Ip "IP" Collection,
    MatchedVar "MATCHED_VAR" Scalar,
    MatchedVarName "MATCHED_VAR_NAME" Scalar,
    MatchedVars "MATCHED_VARS" Collection,
    MatchedVarsNames "MATCHED_VARS_NAMES" Collection,
    ModsecBuild "MODSEC_BUILD" Scalar,
    MscPcreLimitsExceeded "MSC_PCRE_LIMITS_EXCEEDED" Scalar,
    MultipartBoundaryQuoted "MULTIPART_BOUNDARY_QUOTED" Scalar,
    MultipartBoundaryWhitespace "MULTIPART_BOUNDARY_WHITESPACE" Scalar,
    MultipartCrlfLfLines "MULTIPART_CRLF_LF_LINES" Scalar,
    MultipartDataAfter "MULTIPART_DATA_AFTER" Scalar,
    MultipartDataBefore "MULTIPART_DATA_BEFORE" Scalar,
    MultipartFileLimitExceeded "MULTIPART_FILE_LIMIT_EXCEEDED" Scalar,
    MultipartFilename "MULTIPART_FILENAME" Scalar,
    MultipartHeaderFolding "MULTIPART_HEADER_FOLDING" Scalar,
    MultipartInvalidHeaderFolding "MULTIPART_INVALID_HEADER_FOLDING" Scalar,
    MultipartInvalidPart "MULTIPART_INVALID_PART" Scalar,
    MultipartInvalidQuoting "MULTIPART_INVALID_QUOTING" Scalar,
    MultipartLfLine "MULTIPART_LF_LINE" Scalar,
    MultipartMissingSemicolon "MULTIPART_MISSING_SEMICOLON" Scalar,
    MultipartName "MULTIPART_NAME" Scalar,
    MultipartPartHeaders "MULTIPART_PART_HEADERS" Collection,
    MultipartStrictError "MULTIPART_STRICT_ERROR" Scalar,
    MultipartUnmatchedBoundary "MULTIPART_UNMATCHED_BOUNDARY" Scalar,
    OutboundDataError "OUTBOUND_DATA_ERROR" Scalar,
    PathInfo "PATH_INFO" Scalar,
    QueryString "QUERY_STRING" Scalar,
    RemoteAddr "REMOTE_ADDR" Scalar,
    RemoteHost "REMOTE_HOST" Scalar,
    RemotePort "REMOTE_PORT" Scalar,
    RemoteUser "REMOTE_USER" Scalar,
    ReqbodyError "REQBODY_ERROR" Scalar,
    ReqbodyErrorMsg "REQBODY_ERROR_MSG" Scalar,
    ReqbodyProcessor "REQBODY_PROCESSOR" Scalar,
    ReqbodyProcessorError "REQBODY_PROCESSOR_ERROR" Scalar,
    ReqbodyProcessorErrorMsg "REQBODY_PROCESSOR_ERROR_MSG" Scalar,
    RequestBasename "REQUEST_BASENAME" Scalar,
    RequestBody "REQUEST_BODY" Scalar,
    RequestBodyLength "REQUEST_BODY_LENGTH" Scalar,
    RequestCookies "REQUEST_COOKIES" Collection,
    RequestCookiesNames "REQUEST_COOKIES_NAMES" Names,
    RequestFilename "REQUEST_FILENAME" Scalar,
    RequestHeaders "REQUEST_HEADERS" Collection,
    RequestHeadersNames "REQUEST_HEADERS_NAMES" Names,
    RequestLine "REQUEST_LINE" Scalar,
    RequestMethod "REQUEST_METHOD" Scalar,
    RequestProtocol "REQUEST_PROTOCOL" Scalar,
    RequestUri "REQUEST_URI" Scalar,
    RequestUriRaw "REQUEST_URI_RAW" Scalar,
    Resource "RESOURCE" Collection,
    ResponseBody "RESPONSE_BODY" Scalar,
    ResponseContentLength "RESPONSE_CONTENT_LENGTH" Scalar,
    ResponseContentType "RESPONSE_CONTENT_TYPE" Scalar,
    ResponseHeaders "RESPONSE_HEADERS" Collection,
    ResponseHeadersNames "RESPONSE_HEADERS_NAMES" Names,
    ResponseProtocol "RESPONSE_PROTOCOL" Scalar,
    ResponseStatus "RESPONSE_STATUS" Scalar,
    Rule "RULE" Collection,
    ServerAddr "SERVER_ADDR" Scalar,
    ServerName "SERVER_NAME" Scalar,
    ServerPort "SERVER_PORT" Scalar,
    Session "SESSION" Collection,
    SessionId "SESSIONID" Scalar,
    StatusLine "STATUS_LINE" Scalar,
    Time "TIME" Scalar,
    TimeDay "TIME_DAY" Scalar,
    TimeEpoch "TIME_EPOCH" Scalar,
    TimeHour "TIME_HOUR" Scalar,
    TimeMin "TIME_MIN" Scalar,
    TimeMon "TIME_MON" Scalar,
    TimeSec "TIME_SEC" Scalar,
    TimeWday "TIME_WDAY" Scalar,
    TimeYear "TIME_YEAR" Scalar,
    Tx "TX" Collection,
    UniqueId "UNIQUE_ID" Scalar,
    UrlencodedError "URLENCODED_ERROR" Scalar,
    User "USER" Collection,
    UserAgentIp "USERAGENT_IP" Scalar,
    UserId "USERID" Scalar,
    WebappId "WEBAPPID" Scalar,
    Xml "XML" Collection,
}

/// Variables of the manual that a proxy cannot have, and why.
pub(crate) const REFUSED: &[(&str, &str)] = &[
    ("PERF_ALL", "engine timings are metrics, not rule input"),
    (
        "PERF_COMBINED",
        "engine timings are metrics, not rule input",
    ),
    ("PERF_GC", "engine timings are metrics, not rule input"),
    ("PERF_LOGGING", "engine timings are metrics, not rule input"),
    ("PERF_PHASE1", "engine timings are metrics, not rule input"),
    ("PERF_PHASE2", "engine timings are metrics, not rule input"),
    ("PERF_PHASE3", "engine timings are metrics, not rule input"),
    ("PERF_PHASE4", "engine timings are metrics, not rule input"),
    ("PERF_PHASE5", "engine timings are metrics, not rule input"),
    ("PERF_RULES", "engine timings are metrics, not rule input"),
    ("PERF_SREAD", "engine timings are metrics, not rule input"),
    ("PERF_SWRITE", "engine timings are metrics, not rule input"),
    ("SCRIPT_BASENAME", "no script runs in a proxy"),
    ("SCRIPT_FILENAME", "no script runs in a proxy"),
    ("SCRIPT_GID", "no script runs in a proxy"),
    ("SCRIPT_GROUPNAME", "no script runs in a proxy"),
    ("SCRIPT_MODE", "no script runs in a proxy"),
    ("SCRIPT_UID", "no script runs in a proxy"),
    ("SCRIPT_USERNAME", "no script runs in a proxy"),
    (
        "SDBM_DELETE_ERROR",
        "collections live in memory, not in SDBM files",
    ),
    (
        "STREAM_INPUT_BODY",
        "bodies are passed on as they came and never rewritten",
    ),
    (
        "STREAM_OUTPUT_BODY",
        "bodies are passed on as they came and never rewritten",
    ),
    (
        "WEBSERVER_ERROR_LOG",
        "there is no web server with an error log in this process",
    ),
];

impl Variable {
    /// Case-insensitive.
    #[must_use]
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|v| v.name().eq_ignore_ascii_case(name))
    }

    /// Why it never has a value here; None if it can have one.
    pub(crate) const fn why_empty(self) -> Option<&'static str> {
        match self {
            Self::Geo => Some("always empty: there is no geo database"),
            Self::FilesTmpContent => {
                Some("always empty: the contents of uploaded files are not inspected")
            }
            Self::FilesTmpNames => Some("always empty: no temporary files are written"),
            Self::PathInfo => Some("always empty: no script runs in a proxy"),
            _ => None,
        }
    }

    /// Whether its values can change while a phase runs, so that each rule must look them up again. Only variables that
    /// rules or time change are volatile.
    #[must_use]
    pub(crate) const fn is_volatile(self) -> bool {
        matches!(
            self,
            Self::Duration
                | Self::Env
                | Self::Geo
                | Self::Global
                | Self::HighestSeverity
                | Self::Ip
                | Self::MatchedVar
                | Self::MatchedVarName
                | Self::MatchedVars
                | Self::MatchedVarsNames
                | Self::MscPcreLimitsExceeded
                // `ctl:requestBodyProcessor` changes it.
                | Self::ReqbodyProcessor
                | Self::Resource
                // Differs from rule to rule.
                | Self::Rule
                | Self::Session
                | Self::SessionId
                | Self::Tx
                | Self::User
                | Self::UserId
                | Self::WebappId
        )
    }
}
