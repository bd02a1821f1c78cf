use std::fmt::Write as _;

use super::*;
use crate::{Selector, TargetSyntax};

fn read(text: &str) -> Parsed {
    parse(SourceId(0), Path::new("t.conf"), text)
}

/// `LINE:COLUMN+WIDTH message`, one a line; warnings begin with `warning`.
fn problems(text: &str) -> String {
    let mut out = String::new();
    for d in read(text).diagnostics {
        let at = &d.location;
        let word = if d.is_error() { "" } else { "warning " };
        let (line, column, width) = (at.line, at.column, at.width);
        writeln!(out, "{word}{line}:{column}+{width} {}", d.message).unwrap();
    }
    out.trim_end().to_owned()
}

/// The directives in a short form that tells all that was understood.
fn shape(text: &str) -> String {
    let parsed = read(text);
    assert_eq!(problems(text), "", "{text}");
    let shapes: Vec<String> = parsed.directives.iter().map(directive).collect();
    shapes.join("\n")
}

fn directive(directive: &Directive) -> String {
    match directive {
        Directive::Rule(rule) => {
            let operator = &rule.operator;
            let not = if operator.negated { "!" } else { "" };
            format!(
                "rule {} {not}@{} <{}> {}",
                targets(&rule.targets),
                operator.name.node,
                operator.argument.node,
                actions(&rule.actions)
            )
        }
        Directive::Action { actions: list, .. } => format!("action {}", actions(list)),
        Directive::DefaultAction { actions: list, .. } => format!("default {}", actions(list)),
        Directive::Marker(name) => format!("marker {}", name.node),
        Directive::UpdateAction {
            id, actions: list, ..
        } => format!("update {} {}", id.node, actions(list)),
        Directive::UpdateTarget {
            name,
            what,
            targets: added,
            replaced,
            ..
        } => {
            let (added, replaced) = (targets(added), targets(replaced));
            format!("{} {} {added} {replaced}", name.node, what.node)
        }
        Directive::Setting {
            name, arguments, ..
        } => {
            let arguments = arguments.iter().map(|a| format!(" <{}>", a.node));
            format!("{}{}", name.node, arguments.collect::<String>())
        }
    }
}

fn targets(list: &[TargetSyntax]) -> String {
    let one = |target: &TargetSyntax| {
        let sign = match (target.exclude, target.count) {
            (true, _) => "!",
            (_, true) => "&",
            _ => "",
        };
        let selector = match target.selector.as_ref().map(|selector| &selector.node) {
            None => String::new(),
            Some(Selector::Name(name)) => format!("={name}"),
            Some(Selector::Regex(regex)) => format!("~{regex}"),
        };
        format!("{sign}{}{selector}", target.variable.node)
    };
    format!("[{}]", list.iter().map(one).collect::<Vec<_>>().join(";"))
}

fn actions(list: &[ActionSyntax]) -> String {
    let one = |action: &ActionSyntax| match &action.argument {
        None => action.name.node.clone(),
        Some(argument) => format!("{}={}", action.name.node, argument.node),
    };
    format!("[{}]", list.iter().map(one).collect::<Vec<_>>().join(";"))
}

#[test]
fn lines_and_words() {
    for (text, expected) in [
        ("", ""),
        ("\n \t\r\n# comment\n  # comment\n", ""),
        ("SecRuleEngine On", "SecRuleEngine <On>"),
        ("secruleengine On\r\n", "SecRuleEngine <On>"),
        ("\u{feff}SECRULEENGINE On", "SecRuleEngine <On>"),
        ("  SecRuleEngine \\\r\n On", "SecRuleEngine <On>"),
        ("SecRule\\\nEngine On", "SecRuleEngine <On>"),
        ("SecDataDir \"a b\"", "SecDataDir <a b>"),
        ("SecDataDir 'a \"b'", "SecDataDir <a \"b>"),
        ("SecDataDir 'it\\'s'", "SecDataDir <it's>"),
        ("SecDataDir \"\"", "SecDataDir <>"),
        (
            "SecDataDir \"\\\"\\\\\\d\\x5c\\'\"",
            "SecDataDir <\"\\\\d\\x5c\\'>",
        ),
        ("SecDataDir a\\\\b\\d\"c", "SecDataDir <a\\b\\d\"c>"),
        ("SecDataDir \"ends\\\\\"", "SecDataDir <ends\\>"),
        ("SecMarker END # no comment", "error"),
        ("Sec-Unknown a \"b c\"", "Sec-Unknown <a> <b c>"),
        (
            "SecRuleRemoveById 1 2-3 \"4 5\"",
            "SecRuleRemoveById <1> <2-3> <4 5>",
        ),
        (
            "SecRuleScript a.lua \"deny\"",
            "SecRuleScript <a.lua> <deny>",
        ),
        (
            "SecRemoteRules key https://a",
            "SecRemoteRules <key> <https://a>",
        ),
        (
            "SecResponseBodyMimeTypesClear",
            "SecResponseBodyMimeTypesClear",
        ),
        ("# comment \\\n goes on\nSecMarker A", "marker A"),
        ("SecMarker A\\", "marker A"),
        ("SecMarker \"A B\"", "marker A B"),
        ("SecRule ARGS \"x\"\"id:1\"", "rule [ARGS] @rx <x> [id=1]"),
        (
            "SecRule ARGS \"x\"\\\n\"id:1\"",
            "rule [ARGS] @rx <x> [id=1]",
        ),
        ("SecRule ARGS \"x\"\\\nid:1", "rule [ARGS] @rx <x> [id=1]"),
    ] {
        match expected {
            "error" => assert_ne!(problems(text), "", "{text}"),
            expected => assert_eq!(shape(text), expected, "{text}"),
        }
    }
}

#[test]
fn targets_and_selectors() {
    for (text, expected) in [
        ("ARGS", "[ARGS]"),
        ("\"ARGS | TX:a , !ARGS:b\"", "[ARGS;TX=a;!ARGS=b]"),
        ("ARGS,&TX:x|", "[ARGS;&TX=x]"),
        ("ARGS:a||TX", "error"),
        ("REQUEST_HEADERS:User-Agent", "[REQUEST_HEADERS=User-Agent]"),
        ("ARGS:a:b", "[ARGS=a:b]"),
        ("\"ARGS:'a b|c,d'|TX\"", "[ARGS=a b|c,d;TX]"),
        ("\"ARGS:'it\\'s \\d'\"", "[ARGS=it's \\d]"),
        ("ARGS:''", "[ARGS=]"),
        ("TX:/^a_.*/", "[TX~^a_.*]"),
        ("\"TX:/a|b,c d\\/e/|ARGS\"", "[TX~a|b,c d/e;ARGS]"),
        ("TX:/a/|TX:/b/", "[TX~a;TX~b]"),
        ("TX:/[/]/", "[TX~[/]]"),
        (
            "\"!ARGS_NAMES:/^[\\w]+\\[[\\w\\-]*?\\]$/\"",
            "[!ARGS_NAMES~^[\\w]+\\[[\\w\\-]*?\\]$]",
        ),
        ("&TX:'/WEB_ATTACK/'", "[&TX~WEB_ATTACK]"),
        ("&TX:'/LEAKAGE\\\\\\/ERRORS/'", "[&TX~LEAKAGE/ERRORS]"),
        ("TX:'/'", "[TX=/]"),
        ("XML:/*|XML://@*", "[XML=/*;XML=//@*]"),
        ("xml:'/a/'", "[xml=/a/]"),
    ] {
        let text = format!("SecRule {text} x");
        match expected {
            "error" => assert_ne!(problems(&text), "", "{text}"),
            expected => assert_eq!(
                shape(&text),
                format!("rule {expected} @rx <x> []"),
                "{text}"
            ),
        }
    }
}

#[test]
fn operators() {
    for (text, expected) in [
        ("\"@rx a b \"", "@rx <a b >"),
        ("\"a b\"", "@rx <a b>"),
        ("\" a\"", "@rx < a>"),
        ("\"!a\"", "!@rx <a>"),
        ("\"!@eq 0\"", "!@eq <0>"),
        ("\"! @eq  0\"", "!@eq <0>"),
        ("\"@EQ\t0\"", "@EQ <0>"),
        ("\"@detectSQLi\"", "@detectSQLi <>"),
        ("@unconditionalMatch", "@unconditionalMatch <>"),
        ("\"@rx \\\"\\\\\\\\\\x5c@\"", "@rx <\"\\\\\\x5c@>"),
        ("\"\"", "@rx <>"),
        ("\"!\"", "!@rx <>"),
    ] {
        let text = format!("SecRule ARGS {text}");
        assert_eq!(shape(&text), format!("rule [ARGS] {expected} []"), "{text}");
    }
}

#[test]
fn actions_and_their_arguments() {
    for (text, expected) in [
        ("\"\"", "[]"),
        ("deny", "[deny]"),
        (
            "\" ID:1 ,\tPhase:request , t:none,\"",
            "[ID=1;Phase=request;t=none]",
        ),
        ("\"phase: 2,msg: 'a'\"", "[phase=2;msg=a]"),
        ("\"msg:'a, b|c: d',log\"", "[msg=a, b|c: d;log]"),
        ("\"msg:'it\\'s \\d \\\"x\\\"'\"", "[msg=it's \\d \"x\"]"),
        ("\"msg:it's,log\"", "[msg=it's;log]"),
        (
            "\"setvar:'tx.a=b,c',setvar:!tx.d,setvar:tx.e=+%{tx.f}\"",
            "[setvar=tx.a=b,c;setvar=!tx.d;setvar=tx.e=+%{tx.f}]",
        ),
        (
            "\"ctl:ruleRemoveTargetById=1;ARGS:a,chain\"",
            "[ctl=ruleRemoveTargetById=1;ARGS:a;chain]",
        ),
        ("\"logdata:'',msg:\"", "[logdata=;msg]"),
        ("\"id:1,\\\n  log,\\\n  deny\"", "[id=1;log;deny]"),
        ("'id:1,msg:\\'a b\\''", "[id=1;msg=a b]"),
    ] {
        let text = format!("SecAction {text}");
        assert_eq!(shape(&text), format!("action {expected}"), "{text}");
    }
}

#[test]
fn directives_with_forms_of_their_own() {
    for (text, expected) in [
        ("SecRule ARGS @rx", "rule [ARGS] @rx <> []"),
        ("secrule ARGS x deny", "rule [ARGS] @rx <x> [deny]"),
        ("SecDefaultAction \"phase:1,log\"", "default [phase=1;log]"),
        (
            "SecRuleUpdateActionById 1:2 \"deny,status:404\"",
            "update 1:2 [deny;status=404]",
        ),
        (
            "SecRuleUpdateTargetById 1 \"!ARGS:a,!TX\"",
            "SecRuleUpdateTargetById 1 [!ARGS=a;!TX] []",
        ),
        (
            "secruleupdatetargetbytag \"a b\" ARGS TX",
            "SecRuleUpdateTargetByTag a b [ARGS] [TX]",
        ),
        (
            "SecRuleUpdateTargetByMsg m !ARGS:/x/",
            "SecRuleUpdateTargetByMsg m [!ARGS~x] []",
        ),
        ("Include a*.conf", "Include <a*.conf>"),
    ] {
        assert_eq!(shape(text), expected, "{text}");
    }
}

#[test]
fn every_problem_has_its_place() {
    for (text, expected) in [
        (
            "SecRuleEngine",
            "1:1+13 SecRuleEngine takes 1 argument, here are 0",
        ),
        (
            "SecRuleEngine On Off x",
            "1:18+3 SecRuleEngine takes 1 argument, here are 3",
        ),
        (
            "SecRule ARGS",
            "1:1+7 SecRule takes 2 to 3 arguments, here are 1",
        ),
        (
            "SecRule ARGS x y z",
            "1:18+1 SecRule takes 2 to 3 arguments, here are 4",
        ),
        (
            "SecHashKey x",
            "1:1+10 SecHashKey takes 2 arguments, here are 1",
        ),
        (
            "SecRuleRemoveById",
            "1:1+17 SecRuleRemoveById takes at least 1 argument, here are 0",
        ),
        (
            "SecResponseBodyMimeTypesClear é",
            "1:31+1 SecResponseBodyMimeTypesClear takes no argument, here are 1",
        ),
        ("SecRule ARGS \"é", "1:14+1 no `\"` closes this quote"),
        (
            "SecRule ARGS \"a\"b\" \"id:1\"",
            "1:17+1 a blank is missing after the closing quote",
        ),
        (
            "<IfModule security2_module>\n</IfModule>",
            "1:1+27 Apache's container `<IfModule>` is not supported: rules belong to a policy here, not to a part of a server",
        ),
        ("SecRule \"\" x", "1:9+2 no variable is named here"),
        (
            "SecRule \"| ARGS\" x",
            "1:10+1 a variable is missing before this separator",
        ),
        (
            "SecRule ARGS|,TX x",
            "1:14+1 a variable is missing before this separator",
        ),
        (
            "SecRule ARGS|! x",
            "1:15+1 the name of a variable is missing here",
        ),
        (
            "SecRule \"ARGS|! TX\" x",
            "1:16+1 the name of a variable is missing here",
        ),
        (
            "SecRule !&ARGS x",
            "1:9+2 `!` and `&` cannot stand together",
        ),
        (
            "SecRule &!ARGS x",
            "1:9+2 `!` and `&` cannot stand together",
        ),
        (
            "SecRule ARGS: x",
            "1:13+1 a selector is missing after `ARGS:`",
        ),
        (
            "SecRule ARGS:/a x",
            "1:14+1 no `/` ends this regular expression",
        ),
        ("SecRule ARGS:'a x", "1:14+1 no `'` closes this quote"),
        (
            "SecRule ARGS:'a'b x",
            "1:17+1 a separator is missing after the closing quote",
        ),
        (
            "SecRule \"ARGS TX\" x",
            "1:15+1 a separator is missing before this",
        ),
        (
            "SecRule \"ARGS:a TX\" x",
            "warning 1:17+1 a separator is missing before this",
        ),
        (
            "SecRule ARGS \" @rx x\"",
            "1:15+1 a blank before the operator",
        ),
        (
            "SecRule ARGS \"!@ x\"",
            "1:16+1 no operator is named after `@`",
        ),
        (
            "SecAction \"id:1,,log\"",
            "1:17+1 an action is missing before this separator",
        ),
        (
            "SecAction \"id:1,:x\"",
            "1:17+1 the name of an action is missing here",
        ),
        (
            "SecAction \"phase :1\"",
            "1:18+1 a separator is missing before this",
        ),
        ("SecAction \"msg:'a\"", "1:16+1 no `'` closes this quote"),
        (
            "SecAction \"msg:'it's',log\"",
            "1:20+1 a separator is missing after the closing quote",
        ),
        (
            "SecAction \"msg:a b\"",
            "warning 1:18+1 a separator is missing before this",
        ),
        (
            "SecAction \"id:1,\\\n# phase:1,\\\n log\"",
            "2:1+1 a comment cannot stand here",
        ),
        (
            "SecAction \\\n  \"id:1,\\\n   msg:'é' 'x\"",
            "warning 3:12+1 a separator is missing before this",
        ),
        (
            "# a \\\n  SecMarker X\n",
            "warning 2:3+9 this SecMarker belongs to the comment before it",
        ),
        (
            "SecAction \\\n \"id:1\" \\\n \\\"x\\\"",
            "3:2+5 SecAction takes 1 argument, here are 2",
        ),
    ] {
        assert_eq!(problems(text), expected, "{text}");
    }
}

#[test]
fn help_names_the_blank_after_a_backslash() {
    let parsed = read("SecAction \"id:1,\\ \n log\"\n");
    let help = parsed.diagnostics[0].help.as_deref().unwrap();
    assert!(help.contains("after the `\\`"), "{help}");
}

#[test]
fn a_blank_after_a_backslash_is_named_and_nothing_else_is() {
    let told = "a blank follows the `\\`, so the next line does not belong to this one";
    for (text, place) in [
        ("SecRule ARGS \"@rx x\" \\ \n  \"id:1\"\n", "1:23+1"),
        (
            "SecRule ARGS \"@rx x\" \\\n  \"id:1,\\\t \n  log\"\n",
            "2:10+2",
        ),
        ("SecRule ARGS \"@rx x\" \\ \r\n  \"id:1\"\n", "1:23+1"),
        ("SecMarker A \\ ", "1:14+1"),
    ] {
        assert_eq!(problems(text), format!("{place} {told}"), "{text}");
    }
    for text in [
        "# a comment \\ \nSecMarker A\n",
        "SecMarker A\\\\ \n",
        "SecMarker \"a\\ b\"\n",
    ] {
        assert_eq!(problems(text), "", "{text}");
    }
}

#[test]
fn all_problems_are_told_and_the_rest_is_read() {
    let text = "SecRule \"ARGS| |\" \"@ x\" \"id:1,,\"\nSecMarker\nSecRule !|TX '@' \"id:\\\n,:\"\nSecMarker OK\n<Location />";
    let places: Vec<_> = read(text)
        .diagnostics
        .iter()
        .map(|d| (d.location.line, d.location.column))
        .collect();
    let expected = [
        (1, 16),
        (1, 20),
        (1, 31),
        (2, 1),
        (3, 10),
        (3, 15),
        (4, 2),
        (6, 1),
    ];
    assert_eq!(places, expected);
    let directives = read(text).directives;
    assert_eq!(
        directives.iter().map(directive).collect::<Vec<_>>(),
        ["marker OK"]
    );
}

#[test]
fn a_file_of_problems_is_cut_short() {
    let parsed = read(&"SecMarker\n".repeat(MAX_PROBLEMS + 7));
    assert_eq!(parsed.diagnostics.len(), MAX_PROBLEMS + 1);
    let last = parsed.diagnostics.last().unwrap();
    assert_eq!(last.message, "7 more problems in this file");
    assert!(last.is_error());

    let warnings = "SecAction \"id:1 log\"\n".repeat(MAX_PROBLEMS + 1);
    assert!(!read(&warnings).diagnostics.iter().any(Diagnostic::is_error));
    let errors = format!("{warnings}SecMarker\n");
    let last = read(&errors).diagnostics.pop().unwrap();
    assert!(last.is_error(), "{last}");
}

#[test]
fn spans_point_at_the_pieces() {
    let text = "SecRule \\\n ARGS|!TX:'a\\'b'|TX:/x/ \"! @beginsWith a\\\"b\" \\\n  \"id:1,\\\n msg:'é\\'s',log:''\"  \n";
    let parsed = read(text);
    let Some(Directive::Rule(rule)) = parsed.directives.first() else {
        panic!("{parsed:?}");
    };
    let at = |span: Span| &text[span.start as usize..span.end as usize];
    assert_eq!(at(rule.span), text.trim_end());
    assert_eq!(at(rule.targets[1].span), "!TX:'a\\'b'");
    assert_eq!(at(rule.targets[1].variable.span), "TX");
    assert_eq!(
        at(rule.targets[1].selector.as_ref().unwrap().span),
        "'a\\'b'"
    );
    assert_eq!(at(rule.targets[2].selector.as_ref().unwrap().span), "/x/");
    assert_eq!(at(rule.operator.span), "! @beginsWith a\\\"b");
    assert_eq!(at(rule.operator.name.span), "beginsWith");
    assert_eq!(at(rule.operator.argument.span), "a\\\"b");
    assert_eq!(at(rule.actions[1].span), "msg:'é\\'s'");
    assert_eq!(at(rule.actions[1].argument.as_ref().unwrap().span), "é\\'s");
    assert_eq!(at(rule.actions[2].argument.as_ref().unwrap().span), "''");
}
