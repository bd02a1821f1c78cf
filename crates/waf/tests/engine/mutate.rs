//! Requests that are almost those of the CRS's tests.

use std::path::Path;

use http_strict::Head;

use super::harness::Exchange;

/// A small generator: the same numbers at every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides.max(1) as u64).unwrap_or(0)
    }
}

const SPICE: &[&[u8]] = &[
    b"%",
    b"%u00",
    b"\\",
    b"'",
    b"\"",
    b"<",
    b"&#x",
    b"/*",
    b"\0",
    b"\xff\xfe",
    b"{",
    b"[[",
    b"--",
    b"=",
    b"&",
    b";",
    b"\r\n",
    b"${jndi:",
    b"union select",
    b"<script>",
    b"../",
    b"AAAAAAAAAAAAAAAA",
    b"/**/",
    b"%25%32%35",
];

pub fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(bytes.len() + 1);
        match dice.roll(5) {
            0 if at < bytes.len() => bytes[at] = u8::try_from(dice.roll(256)).unwrap_or(0),
            1 => {
                let spice = SPICE[dice.roll(SPICE.len())];
                bytes.splice(at..at, spice.iter().copied());
            }
            2 if at < bytes.len() => {
                let end = (at + dice.roll(40)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 if at < bytes.len() => {
                let end = (at + dice.roll(40)).min(bytes.len());
                let piece = bytes[at..end].repeat(1 + dice.roll(6));
                let to = dice.roll(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
}

pub use support::materials::crs;

/// The requests of the CRS's own tests.
pub fn crs_requests(crs: &Path) -> Vec<Vec<u8>> {
    let files = ftw::load(&[crs.join("regression")]).expect("tests load");
    let tests = files.iter().flat_map(|file| &file.tests);
    let stages = tests.flat_map(|test| &test.stages);
    stages.map(|stage| stage.request().to_vec()).collect()
}

/// The request, and what the tests' backend answers. Of a head that the strictness refuses only the body is kept.
pub fn exchange_of(raw: &[u8]) -> Exchange {
    let mut exchange = Exchange::parse("GET /");
    let Ok(head) = Head::parse(raw) else {
        exchange.body = raw.to_vec();
        return exchange;
    };
    exchange.method = raw[head.method.clone()].to_vec();
    exchange.target = raw[head.target.clone()].to_vec();
    let header = |(n, v): &(std::ops::Range<usize>, std::ops::Range<usize>)| {
        (raw[n.clone()].to_vec(), raw[v.clone()].to_vec())
    };
    exchange.headers = head.headers.iter().map(header).collect();
    let rest = &raw[head.length..];
    exchange.body = match ftw::read_body(&head, rest) {
        ftw::Body::Whole(body) => body,
        ftw::Body::Incomplete | ftw::Body::Malformed(_) => rest.to_vec(),
    };
    let reply = ftw::reply(&exchange.method, &exchange.target, &exchange.body);
    if !reply.body.is_empty() {
        exchange.status = reply.status;
        exchange.response_headers = reply.headers;
        exchange.response_body = reply.body;
    }
    exchange
}

/// Whatever the head's strictness lets through, and much that it does not: the engine gets it all.
pub fn mutated(mut exchange: Exchange, dice: &mut Dice) -> Exchange {
    for part in [
        &mut exchange.target,
        &mut exchange.body,
        &mut exchange.response_body,
    ] {
        if dice.roll(2) == 0 {
            mutate(part, dice);
        }
    }
    if dice.roll(3) == 0 {
        for (name, value) in &mut exchange.headers {
            if dice.roll(4) == 0 {
                mutate(if dice.roll(5) == 0 { name } else { value }, dice);
            }
        }
    }
    exchange
}
