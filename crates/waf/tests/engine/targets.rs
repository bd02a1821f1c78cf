//! Which values a rule looks at, in which order.

use super::harness::{Exchange, build, play, values};

#[test]
fn targets() {
    let request = "POST /p?a=1&B=2&a=3&c-d=4\nHost: h\nUser-Agent: ua\nX-A: 1\nX-B: 2\nX-a: 3\nCookie: s=1; t=2\nContent-Type: application/x-www-form-urlencoded\n\nz=9&a=5";
    for (list, expected) in [
        (
            "ARGS",
            "ARGS:a=1 ARGS:B=2 ARGS:a=3 ARGS:c-d=4 ARGS:z=9 ARGS:a=5",
        ),
        ("ARGS:a", "ARGS:a=1 ARGS:a=3 ARGS:a=5"),
        ("ARGS:A", "ARGS:a=1 ARGS:a=3 ARGS:a=5"),
        ("ARGS:/^[ab]$/", "ARGS:a=1 ARGS:B=2 ARGS:a=3 ARGS:a=5"),
        ("ARGS:'/^c.d$/'", "ARGS:c-d=4"),
        (
            "ARGS_GET",
            "ARGS_GET:a=1 ARGS_GET:B=2 ARGS_GET:a=3 ARGS_GET:c-d=4",
        ),
        ("ARGS_POST", "ARGS_POST:z=9 ARGS_POST:a=5"),
        (
            "ARGS_NAMES",
            "ARGS_NAMES:a=a ARGS_NAMES:B=B ARGS_NAMES:a=a ARGS_NAMES:c-d=c-d ARGS_NAMES:z=z ARGS_NAMES:a=a",
        ),
        ("ARGS_GET_NAMES:b", "ARGS_GET_NAMES:B=B"),
        ("ARGS_POST_NAMES", "ARGS_POST_NAMES:z=z ARGS_POST_NAMES:a=a"),
        (
            "REQUEST_HEADERS:x-a",
            "REQUEST_HEADERS:X-A=1 REQUEST_HEADERS:X-a=3",
        ),
        (
            "REQUEST_HEADERS_NAMES:/^X/",
            "REQUEST_HEADERS_NAMES:X-A=X-A REQUEST_HEADERS_NAMES:X-B=X-B REQUEST_HEADERS_NAMES:X-a=X-a",
        ),
        ("HTTP_Host", "REQUEST_HEADERS:Host=h"),
        ("HTTP_USER_AGENT", "REQUEST_HEADERS:User-Agent=ua"),
        ("REQUEST_COOKIES", "REQUEST_COOKIES:s=1 REQUEST_COOKIES:t=2"),
        (
            "REQUEST_COOKIES_NAMES|REQUEST_METHOD",
            "REQUEST_COOKIES_NAMES:s=s REQUEST_COOKIES_NAMES:t=t REQUEST_METHOD=POST",
        ),
        // Left to right: an exclusion removes what stands before it.
        ("ARGS|!ARGS:a", "ARGS:B=2 ARGS:c-d=4 ARGS:z=9"),
        ("ARGS|!ARGS:/^[a-b]$/", "ARGS:c-d=4 ARGS:z=9"),
        ("!ARGS:a|ARGS:a", "ARGS:a=1 ARGS:a=3 ARGS:a=5"),
        ("ARGS:a|!ARGS:a|ARGS:z", "ARGS:z=9"),
        ("ARGS|REQUEST_METHOD|!ARGS", "REQUEST_METHOD=POST"),
        (
            "ARGS_NAMES|!ARGS_NAMES:a",
            "ARGS_NAMES:B=B ARGS_NAMES:c-d=c-d ARGS_NAMES:z=z",
        ),
        (
            "ARGS|!ARGS_GET:a",
            "ARGS:a=1 ARGS:B=2 ARGS:a=3 ARGS:c-d=4 ARGS:z=9 ARGS:a=5",
        ),
        ("REQUEST_HEADERS|!REQUEST_HEADERS:/./", ""),
        // Counts.
        ("&ARGS", "ARGS=6"),
        ("&ARGS:a", "ARGS:a=3"),
        ("&ARGS:nothing", "ARGS:nothing=0"),
        ("&ARGS:/[ab]/", "ARGS=4"),
        (
            "&REQUEST_HEADERS:Host|&REQUEST_COOKIES",
            "REQUEST_HEADERS:Host=1 REQUEST_COOKIES=2",
        ),
        ("&TX:nothing", "TX:nothing=0"),
        ("TX:/^K_/", "TX:k_one=1 TX:k_two=2"),
        ("TX:K_ONE", "TX:k_one=1"),
        ("TX:k_.*", ""),
        ("TX:/^k_/|!TX:K_one", "TX:k_two=2"),
        ("&TX:/^k_/", "TX=2"),
    ] {
        let rules = format!(
            "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.k_one=1,setvar:tx.k_two=2\"\nSecRule {list} \"@unconditionalMatch\" \"id:2,phase:2,pass\""
        );
        let t = play(&build(&rules), &Exchange::parse(request));
        assert_eq!(values(&t, 2).join(" "), expected, "{list}");
    }
}

#[test]
fn query_arguments_are_there_in_phase_1_and_body_arguments_in_phase_2() {
    let rules = build(
        "SecRule ARGS \"@unconditionalMatch\" \"id:1,phase:1,pass\"\nSecRule ARGS \"@unconditionalMatch\" \"id:2,phase:2,pass\"\nSecRule ARGS \"@unconditionalMatch\" \"id:5,phase:5,pass\"",
    );
    let t = play(
        &rules,
        &Exchange::parse("POST /?a=1\nContent-Type: application/x-www-form-urlencoded\n\nb=2"),
    );
    assert_eq!(values(&t, 1), ["ARGS:a=1"]);
    assert_eq!(values(&t, 2), ["ARGS:a=1", "ARGS:b=2"]);
    assert_eq!(values(&t, 5), ["ARGS:a=1", "ARGS:b=2"]);
}
