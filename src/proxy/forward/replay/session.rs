//! Implements pingora's session for the replay.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use http::HeaderMap;
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::l4::socket::SocketAddr;

use super::{Replay, ResponseGate};
use crate::proxy::forward::pacing::SendWindow;
use crate::proxy::forward::upstream_request::UPSTREAM_REQUEST;

#[async_trait]
impl Session for Replay {
    fn req_header(&self) -> &RequestHeader {
        &self.request
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        match self.body {
            // A held body goes through the retry buffer or `next_piece`, never through this.
            Some(_) => Ok(None),
            None if !self.unread.is_empty() => Ok(Some(std::mem::take(&mut self.unread))),
            None => {
                let read = self.inner_mut().read_request_body().await;
                self.settings.activity.now();
                read
            }
        }
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.inner_mut().drain_request_body().await
    }

    // Only our own page comes through here, which needs no inspection.
    async fn write_response_header(&mut self, resp: Box<ResponseHeader>, _: bool) -> Result<()> {
        self.gate = ResponseGate::Open;
        self.inner_mut().write_response_header(resp).await
    }

    async fn write_response_header_ref(&mut self, resp: &ResponseHeader, end: bool) -> Result<()> {
        self.write_response_header(Box::new(resp.clone()), end)
            .await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.inner_mut().write_response_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.inner_mut().write_response_trailers(trailers).await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let ended = self.respond(tasks).await?;
        self.ended |= ended;
        Ok(ended)
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.inner_mut().set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.inner().get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.inner_mut().set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.inner().get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.inner_mut().set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.inner().get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.settings.request_id.clone()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.parts().answered()
    }

    async fn shutdown(&mut self, _code: u32, _ctx: &str) {
        self.inner_mut().shutdown().await;
    }

    fn is_body_done(&mut self) -> bool {
        match (&self.body, self.paced()) {
            (Some(_), Some(body)) => self.given >= body.len(),
            (Some(_), None) => true,
            (None, _) => self.unread.is_empty() && self.inner_mut().is_body_done(),
        }
    }

    async fn finish(&mut self) -> Result<()> {
        self.inner_mut().finish_body().await?;
        let parts = self.parts_mut();
        parts.finished = parts.answered().is_some();
        // Never returns if the gateway connection must not be kept: pingora would put it into its pool next.
        self.settings.close_after_answer.answered().await;
        Ok(())
    }

    fn is_body_empty(&mut self) -> bool {
        match &self.body {
            Some(body) => body.is_empty(),
            None => self.inner_mut().is_body_empty(),
        }
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        let read = match no_body_expected {
            true => {
                let _watching = self.settings.reads.watch(self.settings.streamed);
                self.inner_mut().read_body_or_idle(true).await
            }
            false if self.ended && !self.was_upgraded() => return self.stop_body(),
            false => self.next_piece().await,
        };
        self.settings.activity.now();
        read
    }

    fn body_bytes_sent(&self) -> usize {
        self.inner().body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.inner().body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.inner().digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.inner_mut().digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.inner().client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.inner().server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        Bytes::new()
    }

    /// Pingora calls this when a try begins, so each try starts with the body from its beginning.
    fn enable_retry_buffering(&mut self) {
        self.given = 0;
        // Nothing is proxied outside of an `UpstreamRequest`.
        if let Ok(upstream_request) = UPSTREAM_REQUEST.try_with(Arc::clone) {
            let patience = upstream_request.pool.upstream.write_timeout;
            self.room = SendWindow::on(upstream_request.socket(), patience);
        }
    }

    fn retry_buffer_truncated(&self) -> bool {
        // A streamed body cannot be sent again, and one in pieces is not in the buffer. Pingora then repeats only what
        // was not sent.
        self.body.is_none() || self.paced().is_some()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        let whole = self.body.clone().filter(|_| self.paced().is_none());
        whole.filter(|body| !body.is_empty())
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }

    fn is_upgrade_req(&self) -> bool {
        // Also the request that we prepared must ask: the client may ask on a route that passes no WebSocket.
        self.request.headers.contains_key(http::header::UPGRADE) && self.inner().is_upgrade_req()
    }

    fn was_upgraded(&self) -> bool {
        self.inner().was_upgraded()
    }
}
