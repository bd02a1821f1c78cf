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
        (&b"\xff\xfe<\0a\0"[..], 2, "tag not closed"),
        (b"\xff\xfe<\0a\0>\0", 8, "inside"),
        (
            b"\xff\xfe<\0a\0>\0<\0/\0a\0>\0x",
            16,
            "not in the document's encoding",
        ),
        (
            b"\xfe\xff\0<\0a\0>\xd8\0",
            8,
            "not in the document's encoding",
        ),
        (b"\xff\xfe\0\0<\0\0\0", 0, "UTF-32"),
        (b"\0\0\0<", 0, "UTF-32"),
        (
            b"<?xml version='1.0' encoding='UTF-16'?><a/>",
            0,
            "encoding UTF-16 is not supported",
        ),
        (
            b"<?xml version='1.0' encoding='UTF-16LE'?><a/>",
            0,
            "not in UTF-16LE",
        ),
        (
            b"<?xml version='1.0' encoding='UTF-7'?><a/>",
            0,
            "encoding UTF-7 is not supported",
        ),
        (
            b"\xef\xbb\xbf<?xml version='1.0' encoding='latin1'?><a>\xc3\xa9</a>",
            0,
            "something else says another",
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
fn reads_the_encoding_that_is_told() {
    let wide = |text: &str, mark: &[u8], bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        let units = text.encode_utf16().flat_map(bytes);
        mark.iter().copied().chain(units).collect()
    };
    let document = "<?xml version='1.0' encoding='UTF-16'?><a>€😀</a>";
    let (plain, le, be) = (
        "<a>€😀</a>",
        u16::to_le_bytes as fn(u16) -> [u8; 2],
        u16::to_be_bytes as fn(u16) -> [u8; 2],
    );
    for (body, charset) in [
        (wide(document, b"\xff\xfe", le), None),
        (wide(document, b"\xfe\xff", be), None),
        (wide(document, b"", le), Some("utf-16")),
        (wide(plain, b"", be), None),
        (wide(plain, b"\xff\xfe", le), Some("UTF-16LE")),
    ] {
        let found = parse_as(&body, charset.map(str::as_bytes), &[], &Limits::default());
        assert_eq!(
            (found.error, found.text.as_slice()),
            (None, "€😀".as_bytes())
        );
    }
    let windows = b"<?xml version='1.0' encoding='Windows-1252'?><a b='\x80'>\x93\xe9\x81</a>";
    let found = read(windows);
    assert_eq!(found.error, None);
    assert_eq!(found.text, "“é\u{81}".as_bytes());
    assert_eq!(found.attributes, ["€".as_bytes()]);
    let bare = b"<a>\x93</a>";
    for (charset, fits) in [("windows-1252", true), ("utf-8", false), ("ibm037", false)] {
        let found = parse_as(bare, Some(charset.as_bytes()), &[], &Limits::default());
        assert_eq!(found.error.is_none(), fits, "{charset}");
    }
    // One of the two is believed, and nobody knows which, unless it makes no difference.
    for (body, fits) in [
        (
            &b"<?xml version='1.0' encoding='windows-1252'?><a>\xe9</a>"[..],
            false,
        ),
        (
            b"<?xml version='1.0' encoding='windows-1252'?><a>e</a>",
            true,
        ),
    ] {
        let found = parse_as(body, Some(b"utf-8"), &[], &Limits::default());
        assert_eq!(found.error.is_none(), fits);
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
        ("<?xml é='1'?><a/>", 0, "with `\\xc3\\xa9`"),
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

fn selected(document: &str, paths: &[&str]) -> Result<Vec<(u32, String)>, String> {
    let namespaces = [
        ("s".to_owned(), "urn:soap".to_owned()),
        ("q".to_owned(), "urn:q".to_owned()),
    ];
    let paths: Vec<_> = paths
        .iter()
        .map(|path| Arc::new(Path::parse(path, &namespaces).unwrap()))
        .collect();
    let found = parse_as(document.as_bytes(), None, &paths, &Limits::default());
    match found.error {
        Some(error) => Err(error.message),
        None => {
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            let values = found.selected.into_iter();
            Ok(values.map(|(path, value)| (path, text(value))).collect())
        }
    }
}

#[test]
fn paths_select_elements_texts_and_attributes() {
    let document = "<e:Envelope xmlns:e='urn:soap' xmlns='urn:q' id='0'><e:Body><get id='1'>a<b>b</b>c&amp;<![CDATA[d]]></get>\
                    <x:get xmlns:x='urn:other' x:id='2'>no</x:get><get/></e:Body></e:Envelope>";
    for (path, values) in [
        ("/s:Envelope/s:Body/q:get", &["abc&d", ""][..]),
        ("/s:Envelope/s:Body/q:get/text()", &["a", "c&d"]),
        ("/s:Envelope/*/q:*/q:b", &["b"]),
        ("//q:b/text()", &["b"]),
        ("/s:Envelope//q:b", &["b"]),
        ("/s:Envelope//text()", &["a", "b", "c&d", "no"]),
        ("//@id", &["0", "1"]),
        ("/s:Envelope/s:Body//@id", &["1"]),
        ("/s:Envelope/@id", &["0"]),
        ("/s:Envelope/s:Body/*/@*", &["1", "2"]),
        ("/Envelope", &[]),
        ("/s:Envelope/q:get", &[]),
        ("/s:Envelope/s:Body/get", &[]),
    ] {
        let found = selected(document, &[path]).unwrap();
        let found: Vec<_> = found.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(found, values, "{path}");
    }
    let both = selected("<a><b>1</b></a>", &["/a/b", "/a"]).unwrap();
    assert_eq!(both, [(0, "1".to_owned()), (1, "1".to_owned())]);
}

#[test]
fn selecting_is_bounded() {
    assert!(selected("<p:a/>", &["/a"]).is_err(), "a prefix of nobody's");
    let declarations: String = (0..200).map(|n| format!(" xmlns:n{n}='u'")).collect();
    assert!(selected(&format!("<a{declarations}/>"), &["/a"]).is_err());
    let deep = format!(
        "{}{}{}",
        "<a>".repeat(200),
        "x".repeat(100_000),
        "</a>".repeat(200)
    );
    assert!(selected(&deep, &["//a"]).unwrap_err().contains("too much"));
    let many = format!("<a>{}</a>", "<b/>".repeat(10_001));
    assert!(selected(&many, &["/a/b"]).unwrap_err().contains("values"));
}
