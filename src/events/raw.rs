//! A recorded request as a client would send it over HTTP/1.1.

use super::event::Event;

impl Event {
    /// The request, and what differs from the one that came. A chunked body gets a length, and a head of HTTP/2 becomes
    /// one of HTTP/1.1.
    #[must_use]
    pub fn raw_request(&self) -> (Vec<u8>, Vec<String>) {
        let length = self.body_length();
        let mut notes: Vec<String> = self.details.payload.why_not_judged().into_iter().collect();
        // A head of HTTP/2 was written by us with CRLF, and HTTP/1.x heads with other line ends are refused.
        let lines = self.head.split(|byte| *byte == b'\n');
        let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let mut out = Vec::with_capacity(self.head.len() + self.body.len() + 64);
        let line = lines.next().unwrap_or_default();
        match line.strip_suffix(b" HTTP/2.0") {
            Some(line) => {
                notes.push("it came over HTTP/2 and is written as HTTP/1.1".to_owned());
                push_line(&mut out, &[line, b" HTTP/1.1"].concat());
            }
            None => push_line(&mut out, line),
        }
        let content_length = format!("Content-Length: {length}");
        let mut is_announced = false;
        for line in lines.take_while(|line| !line.is_empty()) {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            let is_coding = name.eq_ignore_ascii_case(b"transfer-encoding");
            if is_coding {
                notes.push(
                    "its body came in chunks and is written with a Content-Length".to_owned(),
                );
            }
            if !is_coding && !name.eq_ignore_ascii_case(b"content-length") {
                push_line(&mut out, line);
            // In the place of the first one: rules that look at the order of fields see it as it was.
            } else if !std::mem::replace(&mut is_announced, true) {
                push_line(&mut out, content_length.as_bytes());
            }
        }
        // HTTP/2 frames a body itself, so its head may announce no length.
        if !is_announced && length > 0 {
            push_line(&mut out, content_length.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
        (out, notes)
    }

    /// The length that the head announces. Of a body that is not kept as a whole it is larger than what there is, so
    /// that whoever reads it sees that it is cut.
    fn body_length(&self) -> u64 {
        let payload = &self.details.payload;
        let kept = self.body.len() as u64;
        match payload.body_left_out {
            Some(_) => payload.body_bytes.max(kept + 1),
            None => kept + payload.body_cut,
        }
    }
}

fn push_line(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::event::tests::event;

    fn exported(head: &str, body: &str, cut: u64, left_out: Option<&str>) -> (String, usize) {
        let mut event = event(1);
        let payload = &mut event.details.payload;
        payload.body_cut = cut;
        payload.body_bytes = body.len() as u64 + cut;
        payload.body_left_out = left_out.map(str::to_owned);
        event.head = head.replace('\n', "\r\n").into_bytes();
        event.body = body.as_bytes().to_vec();
        let (request, notes) = event.raw_request();
        let request = String::from_utf8(request).unwrap();
        (request.replace("\r\n", "\n"), notes.len())
    }

    #[test]
    fn a_request_is_written_as_a_client_sends_it() {
        for (head, body, expected, notes) in [
            (
                "GET / HTTP/1.1\nHost: a\n\n",
                "",
                "GET / HTTP/1.1\nHost: a\n\n",
                0,
            ),
            (
                "POST / HTTP/1.1\nContent-Length: 3\nHost: a\n\n",
                "a=1",
                "POST / HTTP/1.1\nContent-Length: 3\nHost: a\n\na=1",
                0,
            ),
            (
                "POST / HTTP/1.1\nTransfer-Encoding: chunked\nHost: a\n\n",
                "a=1",
                "POST / HTTP/1.1\nContent-Length: 3\nHost: a\n\na=1",
                1,
            ),
            (
                "POST /a HTTP/2.0\nhost: a\n\n",
                "a=1",
                "POST /a HTTP/1.1\nhost: a\nContent-Length: 3\n\na=1",
                1,
            ),
        ] {
            assert_eq!(exported(head, body, 0, None), (expected.to_owned(), notes));
        }
    }

    #[test]
    fn a_body_that_is_not_whole_is_seen_to_be_cut() {
        let head = "POST / HTTP/1.1\nContent-Length: 99\n\n";
        let (request, notes) = exported(head, "a=1", 5, None);
        assert_eq!(
            (request.as_str(), notes),
            ("POST / HTTP/1.1\nContent-Length: 8\n\na=1", 1)
        );
        let (request, _) = exported(head, "", 0, Some("compressed"));
        assert_eq!(request, "POST / HTTP/1.1\nContent-Length: 1\n\n");
    }
}
