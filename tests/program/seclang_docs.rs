//! `docs/seclang.md` says what the engine's own tables say. `UPDATE_DOCS=1` writes it anew.

use std::fmt::Write;
use std::path::Path;

use waf::RuleSet;
use waf::internals::reference::{DIFFERENCES, Entry, Kind, State};

const HEAD: &str = "\
# SecLang in Drawbridge

What of ModSecurity v2's reference manual is done, accepted without effect, or refused at load.
What is not in these tables does not exist: an unknown name is an error with file, line and column.
Semantics are ModSecurity v2's (Apache) but where the last column says otherwise.

This file is generated from the engine's own tables: `UPDATE_DOCS=1 cargo test --test program`.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for kind in Kind::ALL {
        let _ = write!(
            page,
            "\n## {}\n\n| Name | State | Why, or how it differs from v2 |\n|---|---|---|\n",
            kind.title()
        );
        for Entry {
            name,
            state,
            differs,
            ..
        } in kind.entries()
        {
            let (state, why) = match state {
                State::Done => ("done", differs),
                State::WithoutEffect(why) => ("no effect", why),
                State::Refused(why) => ("refused", why),
            };
            let _ = writeln!(page, "| `{name}` | {state} | {} |", why.replace('|', "\\|"));
        }
    }
    page
}

#[test]
fn the_page_is_the_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/seclang.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/seclang.md is stale: UPDATE_DOCS=1 cargo test --test program"
    );
}

#[test]
fn names_are_there_once() {
    for kind in Kind::ALL {
        let entries = kind.entries();
        for pair in entries.windows(2) {
            assert!(
                !pair[0].name.eq_ignore_ascii_case(pair[1].name),
                "{} twice",
                pair[0].name
            );
        }
    }
    for (kind, name, _) in DIFFERENCES {
        let entries = kind.entries();
        let entry = entries.iter().find(|e| e.name.eq_ignore_ascii_case(name));
        let entry = entry.unwrap_or_else(|| panic!("{name}: a difference of nothing"));
        assert_eq!(
            entry.state,
            State::Done,
            "{name}: a difference of what is not done"
        );
    }
}

/// Problems of loading one line, as text.
fn problems(line: &str) -> String {
    match RuleSet::builder()
        .text("x.conf", format!("{line}\n"))
        .build()
    {
        Ok(_) => String::new(),
        Err(problems) => format!("{problems:?}"),
    }
}

/// What a name looks like in use; its argument need not be right.
fn in_use(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Directive => match name {
            "SecRule" => "SecRule ARGS x \"id:1\"".to_owned(),
            "SecAction" => "SecAction \"id:1,pass\"".to_owned(),
            "SecHashKey"
            | "SecHashMethodPm"
            | "SecHashMethodRx"
            | "SecRemoteRules"
            | "SecRuleUpdateActionById"
            | "SecRuleUpdateTargetById"
            | "SecRuleUpdateTargetByMsg"
            | "SecRuleUpdateTargetByTag" => format!("{name} x y"),
            "SecResponseBodyMimeTypesClear" => name.to_owned(),
            _ => format!("{name} x"),
        },
        Kind::Variable => format!("SecRule {name} \"@rx x\" \"id:1,phase:2,pass\""),
        Kind::Operator => format!("SecRule ARGS \"@{name} x\" \"id:1,phase:2,pass\""),
        Kind::Transformation => format!("SecRule ARGS \"@rx x\" \"id:1,phase:2,pass,t:{name}\""),
        Kind::Action if name == "t" => in_use(Kind::Transformation, "none"),
        Kind::Action => format!("SecRule ARGS \"@rx x\" \"id:1,phase:2,{name}:x\""),
        Kind::Control => format!("SecRule ARGS \"@rx x\" \"id:1,phase:2,pass,ctl:{name}=x\""),
    }
}

#[test]
fn the_tables_are_true() {
    for kind in Kind::ALL {
        for entry in kind.entries() {
            let told = problems(&in_use(kind, entry.name));
            let name = entry.name;
            match entry.state {
                State::Refused(why) => assert!(told.contains(why), "{name} is not refused: {told}"),
                State::Done | State::WithoutEffect(_) => assert!(
                    !told.contains("unknown") && !told.contains("refused"),
                    "{name} is not done: {told}"
                ),
            }
        }
    }
    for line in [
        "SecNothing x",
        "SecRule NOTHING x \"id:1,phase:2,pass\"",
        "SecRule ARGS \"@nothing x\" \"id:1,phase:2,pass\"",
        "SecRule ARGS x \"id:1,phase:2,pass,t:nothing\"",
        "SecRule ARGS x \"id:1,phase:2,pass,nothing:x\"",
        "SecRule ARGS x \"id:1,phase:2,pass,ctl:nothing=x\"",
    ] {
        assert!(!problems(line).is_empty(), "{line}");
    }
}
