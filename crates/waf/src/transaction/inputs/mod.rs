//! What a transaction received: the connection, the request, its body and the response.
//!
//! Inputs only grow, and only by what a client or an upstream sent. What rules decide or change is in `state`.

mod arguments;
mod body;
mod connection;
pub(crate) mod fields;
mod item;
mod multipart;
mod request;
mod response;
mod xml;

pub(crate) use arguments::Arguments;
pub(crate) use body::Body;
pub(crate) use connection::Connection;
pub(crate) use item::Item;
pub(crate) use request::Request;
pub(crate) use response::Response;
pub(crate) use xml::XmlPart;

use crate::variables::{Text, Variable};

/// All inputs of one transaction.
#[derive(Debug)]
pub(crate) struct Inputs {
    connection: Connection,
    request: Request,
    arguments: Arguments,
    body: Body,
    response: Response,
    /// Claims about the caller that somebody has verified.
    identity: Vec<Item>,
}

/// Empty lists with room, for the next transaction.
#[derive(Debug, Default)]
pub(crate) struct InputBuffers {
    headers: Vec<Item>,
    cookies: Vec<Item>,
    arguments: Vec<Item>,
    response_headers: Vec<Item>,
}

/// A collection of named values.
pub(crate) struct Collection<'t> {
    pub items: &'t [Item],
    /// Its values are the names.
    pub of_names: bool,
}

impl Inputs {
    pub(crate) fn new(connection: Connection, buffers: InputBuffers) -> Self {
        Self {
            connection,
            request: Request::in_buffers(buffers.headers, buffers.cookies),
            arguments: Arguments::in_buffer(buffers.arguments),
            body: Body::default(),
            response: Response::in_buffer(buffers.response_headers),
            identity: Vec::new(),
        }
    }

    pub(crate) fn take_buffers(&mut self) -> InputBuffers {
        let (headers, cookies) = self.request.take_buffers();
        InputBuffers {
            headers,
            cookies,
            arguments: self.arguments.take_buffer(),
            response_headers: self.response.take_buffer(),
        }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    pub(crate) fn request_mut(&mut self) -> &mut Request {
        &mut self.request
    }

    pub(crate) fn add_identity(&mut self, text: &mut Text, name: &[u8], value: &[u8]) {
        let key = text.push(name);
        let value = text.push(value);
        self.identity.push(Item { key, value });
    }

    pub(crate) fn arguments(&self) -> &Arguments {
        &self.arguments
    }

    pub(crate) fn arguments_mut(&mut self) -> &mut Arguments {
        &mut self.arguments
    }

    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    pub(crate) fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The body and the arguments that it adds to.
    pub(crate) fn body_and_arguments_mut(&mut self) -> (&mut Body, &mut Arguments) {
        (&mut self.body, &mut self.arguments)
    }

    pub(crate) fn response(&self) -> &Response {
        &self.response
    }

    pub(crate) fn response_mut(&mut self) -> &mut Response {
        &mut self.response
    }

    /// The named values that a variable stands for; None for a variable of another kind.
    pub(crate) fn collection(&self, variable: Variable) -> Option<Collection<'_>> {
        let values = |items| Collection {
            items,
            of_names: false,
        };
        let names = |items| Collection {
            items,
            of_names: true,
        };
        let multipart = self.body.multipart();
        Some(match variable {
            Variable::Args => values(self.arguments.all()),
            Variable::ArgsGet => values(self.arguments.of_query()),
            Variable::ArgsPost => values(self.arguments.of_body()),
            Variable::ArgsNames => names(self.arguments.all()),
            Variable::ArgsGetNames => names(self.arguments.of_query()),
            Variable::ArgsPostNames => names(self.arguments.of_body()),
            Variable::RequestHeaders => values(self.request.headers()),
            Variable::RequestHeadersNames => names(self.request.headers()),
            Variable::RequestCookies => values(self.request.cookies()),
            Variable::RequestCookiesNames => names(self.request.cookies()),
            Variable::ResponseHeaders => values(self.response.headers()),
            Variable::ResponseHeadersNames => names(self.response.headers()),
            Variable::Identity => values(&self.identity),
            Variable::Files => values(multipart.files()),
            Variable::FilesNames => names(multipart.files()),
            Variable::FilesSizes => values(multipart.file_sizes()),
            Variable::MultipartPartHeaders => values(multipart.part_headers()),
            _ => return None,
        })
    }

    /// Every collection whose names can make its values secret.
    pub(crate) fn named_values(&self) -> [(Variable, &[Item]); 5] {
        [
            (Variable::RequestHeaders, self.request.headers()),
            (Variable::RequestCookies, self.request.cookies()),
            (Variable::Args, self.arguments.all()),
            (Variable::ResponseHeaders, self.response.headers()),
            (Variable::Identity, &self.identity),
        ]
    }

    /// Bytes of the lists of items, without those that the items name.
    pub(crate) fn list_bytes(&self) -> usize {
        let multipart = self.body.multipart();
        let lists = [
            self.request.headers(),
            self.request.cookies(),
            self.arguments.all(),
            self.response.headers(),
            multipart.files(),
            multipart.file_sizes(),
            multipart.part_headers(),
            &self.identity,
        ];
        let items: usize = lists.iter().map(|list| list.len()).sum();
        (items + self.body.xml().items()) * size_of::<Item>()
    }
}

impl InputBuffers {
    /// Bytes that the longest list has room for.
    pub(crate) fn capacity(&self) -> usize {
        // The listener bounds fields and cookies; of arguments there can be far more.
        self.arguments.capacity() * size_of::<Item>()
    }

    pub(crate) fn clear(&mut self) {
        self.headers.clear();
        self.cookies.clear();
        self.arguments.clear();
        self.response_headers.clear();
    }
}
