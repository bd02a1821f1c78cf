//! Bodies that are made to cost much.

use super::*;

#[test]
fn bounds_parts_and_files() {
    let limits = Limits {
        parts: 3,
        files: 1,
        headers_per_part: 1,
        ..Limits::default()
    };
    let file = "--b\r\nContent-Disposition: form-data; name=f; filename=x\r\n\r\nx\r\n";
    let parse = |body: &str| {
        let found = parse(TYPE, body.as_bytes(), &limits);
        (
            message(&found),
            found.flags.file_limit_exceeded,
            found.parts.len(),
        )
    };
    assert_eq!(parse(&format!("{file}--b--")), (String::new(), false, 1));
    assert_eq!(
        parse(&format!("{}--b--", file.repeat(3))),
        (String::new(), true, 3)
    );
    // The fourth is what could not be read.
    assert_eq!(
        parse(&file.repeat(5)),
        ("Too many parts (limit 3).".into(), true, 4)
    );
    assert_eq!(
        parse("--b\r\nA: 1\r\nB: 2\r\n").0,
        "Too many part headers (limit 1)."
    );
}

#[test]
fn work_is_linear() {
    let limits = Limits {
        parts: usize::MAX,
        files: 100,
        headers_per_part: 32,
        ..Limits::default()
    };
    let part = format!("--b\r\n{FIELD}\r\n");
    for unit in [
        "--b\r\n",
        "\n",
        "--",
        "-- \t",
        "X: 1\r\n",
        "--b\r\nX: 1\r\n y\r\n",
        &part,
    ] {
        for start in ["", &part, "--b\r\n"] {
            work::assert_linear(start, unit, 2, |body| drop(parse(TYPE, body, &limits)));
        }
    }
}

#[test]
fn hostile_input_gives_no_more_than_it_holds() {
    let limits = Limits {
        parts: usize::MAX,
        files: 100,
        headers_per_part: 32,
        ..Limits::default()
    };
    let dashes = format!("multipart/form-data; boundary={}", "-".repeat(900));
    let part = format!("--b\r\n{FIELD}\r\n");
    let folded = "--b\r\nX: 1\r\n y\r\n".to_owned();
    for unit in [
        "--b\r\n",
        "--b",
        "\n",
        "\r\n",
        "--",
        "- ",
        "-- \t",
        "X: 1\r\n",
        "--b\r\n\r\n",
        &part,
        &folded,
    ] {
        for content_type in [TYPE, dashes.as_bytes()] {
            for start in ["", &part, "--b\r\n"] {
                let body = format!("{start}{}", unit.repeat((1 << 20) / unit.len()));
                let found = parse(content_type, body.as_bytes(), &limits);
                let size: usize = found
                    .parts
                    .iter()
                    .map(|p| {
                        p.content.len()
                            + p.name.len()
                            + p.headers.iter().map(|h| h.len()).sum::<usize>()
                    })
                    .sum();
                assert!(size <= body.len(), "{unit:?} {start:?}: {size}");
            }
        }
    }
}

#[test]
fn mutations_stay_in_bounds() {
    let body = format!(
        "--b\r\n{FIELD}x\r\n--b\r\nContent-Disposition: form-data; name=\"u\"; filename='y'\r\n\
         Content-Type: text/plain;\r\n charset=utf-8\r\n\r\ndata\r\n--c\r\n--b--\r\n"
    );
    let lenient = body.replace('\r', "");
    mutations(
        &[body.as_bytes(), lenient.as_bytes()],
        &[
            b"--b", b"\r\n", b"\n", b"--", b"\"", b"'", b"\\", b";", b":", b"=", b"\0", b" ",
            b"\xff",
        ],
        40_000,
        |body| {
            let found = parse(TYPE, body, &Limits::default());
            let mut end = 0;
            for part in &found.parts {
                assert!(end <= part.content.start, "parts overlap");
                assert!(part.content.start <= part.content.end && part.content.end <= body.len());
                end = part.content.end;
            }
            assert_eq!(found.error.is_some(), found.flags.error);
            if let Some(error) = &found.error {
                assert!(error.offset <= body.len());
                // Nothing behind an error goes unseen.
                assert!(error.offset == body.len() || end == body.len());
            }
        },
    );
}
