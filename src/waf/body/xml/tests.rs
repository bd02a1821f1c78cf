use super::super::mutate::mutations;
use super::*;

fn read(body: &[u8]) -> Xml {
    parse(body, &Limits::default())
}

fn good(body: &str) -> (String, Vec<String>) {
    let xml = read(body.as_bytes());
    assert_eq!(xml.error, None, "{body}");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        text(xml.text),
        xml.attributes.into_iter().map(text).collect(),
    )
}

#[test]
fn gives_text_and_attributes() {
    type Case = (&'static str, &'static str, &'static [&'static str]);
    let cases: &[Case] = &[
        ("<a/>", "", &[]),
        (
            "<?xml version=\"1.0\"?><root><a probe=\"x &quot;y&quot;\"></a></root>",
            "",
            &["x \"y\""],
        ),
        ("<a>one<b>two</b> three</a>", "onetwo three", &[]),
        ("<a><![CDATA[<script>&amp;]]></a>", "<script>&amp;", &[]),
        ("<a>x<!-- no --><?p no?>y</a>", "xy", &[]),
        (
            "<a>&lt;&gt;&amp;&quot;&apos;&#65;&#x42;&#x1F600;</a>",
            "<>&\"'AB😀",
            &[],
        ),
        ("<a>1\r\n2\r3</a>", "1\n2\n3", &[]),
        ("<a b=\"1\r\n2\t3&#10;4\"/>", "", &["1 2 3\n4"]),
        ("<a b='1>2' c=\"'\"/>", "", &["1>2", "'"]),
        (
            "<p:a xmlns=\"u\" xmlns:p=\"v\" p:b=\"1\"><c d=\"2\"/></p:a>",
            "",
            &["1", "2"],
        ),
        (" \n<a/> <!-- x --> \n", "", &[]),
        ("\u{feff}<a>x</a>", "x", &[]),
        ("<?xml version=\"1.0\" encoding='UTF-8'?><a>é</a>", "é", &[]),
        (
            "<!DOCTYPE html PUBLIC \"-//W3C//[x]//EN\" 'u'><a>a&nbsp;b</a>",
            "a&nbsp;b",
            &[],
        ),
        ("<!DOCTYPE a><a b='&x;'/>", "", &["&x;"]),
        ("<é ü='1'/>", "", &["1"]),
    ];
    for (body, text, attributes) in cases {
        let (found, values) = good(body);
        assert_eq!(found, *text, "{body}");
        assert_eq!(values, *attributes, "{body}");
    }
    assert_eq!(read(b""), Xml::default());
}

#[test]
fn decodes_latin_1_and_refuses_what_it_cannot_read() {
    let body = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xe9</a>";
    assert_eq!(read(body).text, "é".as_bytes());
    assert_eq!(read(body).error, None);
    for (body, offset, text) in [
        (&b"\xff\xfe<\0a\0"[..], 0, "UTF-16"),
        (b"\xfe\xff\0<\0a", 0, "UTF-16"),
        (b"<\0a\0/\0>\0", 0, "UTF-16"),
        (
            b"<?xml version='1.0' encoding='UTF-7'?><a/>",
            0,
            "encoding UTF-7 is not supported",
        ),
        (
            b"\xef\xbb\xbf<?xml version='1.0' encoding='latin1'?><a/>",
            0,
            "not supported",
        ),
        (b"<a>\xff</a>", 3, "not in the document's encoding"),
        (b"<a>x</a>\xff", 8, "not in the document's encoding"),
        (b"<a></b>\xff", 3, "</b>"),
        (
            b"<?xml version='1.0' encoding='latin1'?><a>\xe9\xe9</b>",
            44,
            "</b>",
        ),
    ] {
        let error = read(body).error.expect("an error");
        assert!(error.message.contains(text), "{error}");
        assert_eq!(error.offset, offset, "{error}");
    }
}

#[test]
fn refuses_what_is_not_well_formed() {
    for (body, offset, text) in [
        ("<a>", 3, "inside an element"),
        ("x", 0, "outside the root"),
        (" ", 1, "no root"),
        ("<!-- x -->", 10, "no root"),
        ("<a></b>", 3, "expected"),
        ("</a>", 0, "</a>"),
        ("<a/><b/>", 4, "second root"),
        ("<a/>x", 4, "outside the root"),
        ("<a/>&#65;", 4, "outside the root"),
        ("<a/><![CDATA[x]]>", 4, "outside the root"),
        ("<a b=1/>", 0, "attribute"),
        ("<a b/>", 0, "attribute"),
        ("<a b='1' b='2'/>", 0, "attribute b twice"),
        ("<a b='<'/>", 0, "'<'"),
        ("<a b='&x'/>", 0, "without its ';'"),
        ("<a b='&x;'/>", 0, "undefined entity x"),
        ("<a>&x;</a>", 3, "undefined entity x"),
        ("<a>&</a>", 3, "entity or character reference"),
        ("<a>&#0;</a>", 3, "character reference"),
        ("<a>&#x+41;</a>", 3, "character reference"),
        ("<a>&#xD800;</a>", 3, "character reference"),
        ("<a>&#99999999999;</a>", 3, "character reference"),
        ("<1/>", 0, "invalid name"),
        ("<a!b/>", 0, "invalid name"),
        ("<a 1='x'/>", 0, "invalid name"),
        (
            " <?xml version='1.0'?><a/>",
            1,
            "declaration not at the start",
        ),
        ("<?xml encoding='utf-8'?><a/>", 0, "version"),
        ("<a><!-- x", 3, "comment not closed"),
        ("<a b='", 0, "attribute value not closed"),
        ("<a/><!DOCTYPE a>", 4, "where none may be"),
        ("<!DOCTYPE a><!DOCTYPE a><a/>", 12, "where none may be"),
        ("<!doctype a><a/>", 0, "where none may be"),
        ("<!DOCTYPE a [<!ELEMENT a ANY>]><a/>", 0, "with definitions"),
    ] {
        let error = read(body.as_bytes())
            .error
            .unwrap_or_else(|| panic!("{body}"));
        assert!(
            error
                .message
                .starts_with("XML parsing error: XML: Failed parsing document")
        );
        assert!(error.message.contains(text), "{body}: {error}");
        assert_eq!(error.offset, offset, "{body}: {error}");
    }
}

#[test]
fn what_could_not_be_read_is_still_seen() {
    let body = b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>";
    assert_eq!(read(body).text, body);
    assert_eq!(read(b"<a>one</b>two").text, b"one</b>two");
    assert_eq!(read(b"<a>one\xff</a>").text, b"one\xff</a>");
    let xml = read(b"<a b='1'><c d='2' e/></a>");
    assert_eq!(xml.attributes, [b"1".to_vec(), b"2".to_vec()]);
    assert_eq!(xml.text, b"<c d='2' e/></a>");
}

#[test]
fn bounds_depth_and_attributes() {
    let limits = Limits {
        depth: 2,
        attributes: 2,
    };
    let error = |body: &[u8]| parse(body, &limits).error;
    assert_eq!(error(b"<a><b><c/></b></a>"), None);
    assert!(
        error(b"<a><b><c></c></b></a>")
            .unwrap()
            .message
            .contains("2 elements deep")
    );
    assert_eq!(error(b"<a b='' c=''/>"), None);
    assert!(
        error(b"<a b='' c=''><d e=''/></a>")
            .unwrap()
            .message
            .contains("2 attributes")
    );
}

#[test]
fn work_is_linear() {
    let limits = Limits {
        depth: usize::MAX,
        attributes: usize::MAX,
    };
    for unit in [
        "<a>",
        "<a b='&amp;'>",
        "&lt;",
        "<![CDATA[]]>",
        "<!---->",
        "<a/>",
        "]]>",
        "x",
        "<?p?>",
    ] {
        work::assert_linear("<r>", unit, 3, |body| drop(parse(body, &limits)));
    }
}

#[test]
fn hostile_input_gives_no_more_than_it_holds() {
    let limits = Limits {
        depth: usize::MAX,
        attributes: usize::MAX,
    };
    let counted: String = (0..200_000).map(|n| format!(" a{n}=''")).collect();
    let inputs = [
        "<a>",
        "<a b='&amp;'>",
        "&lt;",
        "<![CDATA[",
        "<!--",
        "<!DOCTYPE [",
        "<a/>",
        "]]>",
        "&",
        "<?",
    ]
    .map(|unit| format!("<r>{}", unit.repeat((4 << 20) / unit.len())));
    for body in inputs.iter().chain([&format!("<r{counted}/>")]) {
        let xml = parse(body.as_bytes(), &limits);
        let bytes: usize = xml.attributes.iter().map(Vec::len).sum();
        assert!(xml.text.len() + bytes <= body.len() * 2, "{}", &body[..20]);
    }
}

#[test]
fn mutations_stay_in_bounds() {
    mutations(
        &[
            b"<?xml version=\"1.0\" encoding=\"utf-8\"?><a b='1'>x<![CDATA[y]]>&amp;<c/></a>",
            b"<!DOCTYPE a SYSTEM 'u'><a xmlns:p='v' p:b=\"&#65;\"><!-- z --><?p q?>\xc3\xa9</a>",
            b"<?xml version='1.0' encoding='latin1'?><a>\xe9</a>",
        ],
        &[
            b"<", b">", b"</a>", b"&", b";", b"'", b"\"", b"<!", b"[", b"]]>", b"\xff", b"<?xml ",
            b"?>",
        ],
        40_000,
        |body| {
            let xml = read(body);
            let bytes: usize = xml.attributes.iter().map(Vec::len).sum();
            assert!(xml.text.len() + bytes <= body.len() * 4);
            if let Some(error) = xml.error {
                assert!(error.offset <= body.len());
            }
        },
    );
}
