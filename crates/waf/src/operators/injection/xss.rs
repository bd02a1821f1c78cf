//! Recognises cross-site scripting: tags, attributes and comments that can run a script.
//!
//! Lists and lengths are those of libinjection. A value is read in every context in which an application may put it.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use super::html::{Context, Token, Tokens};
use crate::steps::{self, OutOfTime};

/// The cost of a token compared with a byte of other work.
const TOKEN: usize = 64;

/// Whether the value can run a script, standing in text, in a tag or in an attribute's value.
pub(super) fn is_attack(value: &[u8]) -> Result<bool, OutOfTime> {
    // The same as `XSS_NEEDS`.
    if memchr::memchr2(b'<', b'=', value).is_none() {
        return Ok(false);
    }
    let contexts = [
        Context::Data,
        Context::Tag,
        Context::Quoted(b'\''),
        Context::Quoted(b'"'),
        Context::Quoted(b'`'),
    ];
    for context in contexts {
        if runs_script(value, context)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn runs_script(value: &[u8], context: Context) -> Result<bool, OutOfTime> {
    let mut danger = Danger::None;
    for token in Tokens::new(value, context) {
        steps::work(TOKEN)?;
        // An attribute's danger applies to the value right after its name only.
        let attribute = std::mem::replace(&mut danger, Danger::None);
        let found = match token {
            Token::Doctype => true,
            Token::TagName(name) => is_dangerous_tag(name),
            Token::Comment(text) => is_dangerous_comment(text),
            Token::AttributeName(name) => {
                danger = attribute_danger(name);
                false
            }
            Token::AttributeValue(value) => match attribute {
                Danger::None => false,
                Danger::Always => true,
                Danger::Url => is_script_url(value),
                Danger::Named => attribute_danger(value) != Danger::None,
            },
            Token::Other => false,
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What makes an attribute dangerous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Danger {
    None,
    /// Whatever its value.
    Always,
    /// If its value is a URL that runs a script.
    Url,
    /// If its value is the name of a dangerous attribute.
    Named,
}

const ATTRIBUTES: &[(&str, Danger)] = &[
    ("action", Danger::Url),
    ("attributename", Danger::Named),
    ("background", Danger::Url),
    ("by", Danger::Url),
    ("dataformatas", Danger::Always),
    ("datasrc", Danger::Always),
    ("dynsrc", Danger::Url),
    ("filter", Danger::Always),
    ("folder", Danger::Url),
    ("formaction", Danger::Url),
    ("from", Danger::Url),
    ("handler", Danger::Url),
    ("href", Danger::Url),
    ("lowsrc", Danger::Url),
    ("poster", Danger::Url),
    ("src", Danger::Url),
    ("style", Danger::Always),
    ("to", Danger::Url),
    ("values", Danger::Url),
    ("xlink:href", Danger::Url),
];

const TAGS: &[&str] = &[
    "applet", "base", "comment", "embed", "frame", "frameset", "handler", "iframe", "import",
    "isindex", "link", "listener", "meta", "noscript", "object", "script", "style", "vmlframe",
    "xml", "xss",
];

/// The beginnings of names of events, after `on`: those in the sources of browsers, without any that begins with a
/// shorter one.
#[rustfmt::skip]
const EVENTS: &[&str] = &[
    "abort", "activate", "active", "addsourcebuffer", "addstream", "addtrack", "afterprint",
    "animationcancel", "animationend", "animationiteration", "animationstart", "audioend",
    "audioprocess", "audiostart", "autocomplete", "beforeactivate", "beforecopy", "beforecut",
    "beforeinput", "beforeload", "beforepaste", "beforeprint", "beforeunload", "beginevent",
    "blocked", "blur", "boundary", "bufferedamountlow", "cached", "cancel", "canplay", "change",
    "chargingchange", "chargingtimechange", "checking", "click", "close", "complete",
    "compositionend", "compositionstart", "compositionupdate", "connect", "contextmenu",
    "controllerchange", "copy", "cuechange", "cut", "dataavailable", "datachannel", "dblclick",
    "devicechange", "devicemotion", "deviceorientation", "dischargingtimechange", "disconnect",
    "domactivate", "domcharacterdatamodified", "domcontentloaded", "domfocusin", "domfocusout",
    "domnodeinserted", "domnoderemoved", "domsubtreemodified", "downloading", "drag", "drop",
    "durationchange", "emptied", "encrypted", "end", "enter", "error", "exit", "fetch", "finish",
    "focus", "formchange", "forminput", "gamepadconnected", "gamepaddisconnected", "gesturechange",
    "gestureend", "gesturescrollend", "gesturescrollstart", "gesturescrollupdate", "gesturestart",
    "gesturetap", "gotpointercapture", "hashchange", "icecandidate", "iceconnectionstatechange",
    "icegatheringstatechange", "inactive", "input", "install", "invalid", "keydown", "keypress",
    "keystatuseschange", "keyup", "languagechange", "leavepictureinpicture", "levelchange", "load",
    "lostpointercapture", "mark", "merchantvalidation", "message", "mousedown", "mouseenter",
    "mouseleave", "mousemove", "mouseout", "mouseover", "mouseup", "mousewheel", "mute",
    "negotiationneeded", "nexttrack", "nomatch", "noupdate", "obsolete", "offline", "online",
    "open", "orientationchange", "overconstrained", "overflowchanged", "pagehide", "pageshow",
    "paste", "pause", "payerdetailchange", "paymentauthorized", "paymentmethodchange",
    "paymentmethodselected", "play", "pointercancel", "pointerdown", "pointerenter",
    "pointerleave", "pointerlockchange", "pointerlockerror", "pointermove", "pointerout",
    "pointerover", "pointerup", "popstate", "previoustrack", "processorerror", "progress",
    "propertychange", "ratechange", "readystatechange", "rejectionhandled", "remove", "reset",
    "resize", "resourcetimingbufferfull", "result", "resume", "scroll", "search",
    "securitypolicyviolation", "seeked", "seeking", "select", "shippingaddresschange",
    "shippingcontactselected", "shippingmethodselected", "shippingoptionchange", "show",
    "signalingstatechange", "slotchange", "soundend", "soundstart", "sourceclose", "sourceended",
    "sourceopen", "speechend", "speechstart", "squeeze", "stalled", "start", "statechange", "stop",
    "storage", "submit", "success", "suspend", "textinput", "timeout", "timeupdate", "toggle",
    "tonechange", "touchcancel", "touchend", "touchforcechange", "touchmove", "touchstart",
    "track", "transitioncancel", "transitionend", "transitionrun", "transitionstart",
    "uncapturederror", "unhandledrejection", "unload", "unmute", "update", "upgradeneeded",
    "validatemerchant", "versionchange", "visibilitychange", "volumechange", "waiting",
    "webglcontextchanged", "webglcontextcreationerror", "webglcontextlost", "webglcontextrestored",
    "webkitanimationend", "webkitanimationiteration", "webkitanimationstart",
    "webkitbeforetextinserted", "webkitbeginfullscreen",
    "webkitcurrentplaybacktargetiswirelesschanged", "webkitendfullscreen",
    "webkitfullscreenchange", "webkitfullscreenerror", "webkitkeyadded", "webkitkeyerror",
    "webkitkeymessage", "webkitmouseforcechanged", "webkitmouseforcedown", "webkitmouseforceup",
    "webkitmouseforcewillbegin", "webkitneedkey", "webkitnetworkinfochange",
    "webkitplaybacktargetavailabilitychanged", "webkitpresentationmodechanged",
    "webkitregionoversetchange", "webkitremovesourcebuffer", "webkitsourceclose",
    "webkitsourceended", "webkitsourceopen", "webkitspeechchange", "webkittransitionend",
    "webkitwillrevealbottom", "webkitwillrevealleft", "webkitwillrevealright",
    "webkitwillrevealtop", "wheel", "write", "zoom",
];

/// Beginnings of URLs that run a script or show a document of the sender's making.
const SCHEMES: &[&str] = &["data", "java", "vbscript", "view-source"];

fn is_dangerous_tag(name: &[u8]) -> bool {
    // No tag of the lists is shorter.
    name.len() >= 3
        && (TAGS.iter().any(|tag| is_without_nul(name, tag))
            || begins(name, "svg")
            || begins(name, "xsl"))
}

fn attribute_danger(name: &[u8]) -> Danger {
    if name.len() >= 5 {
        let event = name.get(2..).unwrap_or_default();
        if begins(name, "on") && EVENTS.iter().any(|known| begins(event, known)) {
            return Danger::Always;
        }
        // A namespace can give any tag the meaning of another.
        if begins(name, "xmlns") || begins(name, "xlink") {
            return Danger::Always;
        }
    }
    if name.len() < 2 {
        return Danger::None;
    }
    ATTRIBUTES
        .iter()
        .find(|(known, _)| is_without_nul(name, known))
        .map_or(Danger::None, |(_, danger)| *danger)
}

/// Backticks, conditional comments, processing instructions and entities, to which old browsers react.
fn is_dangerous_comment(text: &[u8]) -> bool {
    memchr::memchr(b'`', text).is_some()
        || text.len() > 3 && (begins(text, "[if") || begins(text, "xml"))
        || begins(text, "import")
        || begins(text, "entity")
}

fn is_script_url(value: &[u8]) -> bool {
    // Some browsers skip blanks, control characters and bytes above ASCII before a scheme.
    let start = value
        .iter()
        .position(|b| matches!(b, b'!'..=b'~'))
        .unwrap_or(value.len());
    let url = &value[start..];
    SCHEMES.iter().any(|scheme| decoded_begins(url, scheme))
}

/// Whether the text, its character references resolved, begins with `start` in any case.
fn decoded_begins(mut text: &[u8], start: &str) -> bool {
    let mut wanted = start.bytes();
    let mut next = wanted.next();
    let mut leading = true;
    while let Some(expected) = next {
        let Some((character, length)) = character(text) else {
            return false;
        };
        text = &text[length..];
        // Browsers skip control characters before a scheme, and NUL and newlines anywhere in it.
        if leading && character <= 0x20 || character == 0 || character == 0x0a {
            continue;
        }
        leading = false;
        // Only the low byte counts, as in browsers whose characters were single bytes.
        let low = (character & 0xff) as u8;
        if !low.eq_ignore_ascii_case(&expected) {
            return false;
        }
        next = wanted.next();
    }
    true
}

/// The first character, a numeric reference resolved, and its length.
fn character(text: &[u8]) -> Option<(u32, usize)> {
    const MOST: u32 = 0x10_00ff;
    let first = u32::from(*text.first()?);
    let (radix, prefix) = match text {
        [b'&', b'#', b'x' | b'X', ..] => (16, 3),
        [b'&', b'#', ..] => (10, 2),
        _ => return Some((first, 1)),
    };
    let mut value = 0u32;
    let mut length = prefix;
    while let Some(digit) = text
        .get(length)
        .and_then(|&b| char::from(b).to_digit(radix))
    {
        value = value * radix + digit;
        if value > MOST {
            return Some((first, 1));
        }
        length += 1;
    }
    if length == prefix {
        return Some((first, 1));
    }
    // Browsers read a reference without its semicolon too.
    length += usize::from(text.get(length) == Some(&b';'));
    Some((value, length))
}

fn begins(text: &[u8], start: &str) -> bool {
    text.get(..start.len())
        .is_some_and(|text| text.eq_ignore_ascii_case(start.as_bytes()))
}

/// Whether it is this name, in any case and with NUL anywhere in it.
fn is_without_nul(text: &[u8], name: &str) -> bool {
    let mut text = text.iter().filter(|b| **b != 0);
    name.bytes()
        .all(|n| text.next().is_some_and(|t| t.eq_ignore_ascii_case(&n)))
        && text.next().is_none()
}
